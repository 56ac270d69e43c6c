# The demo: minutes on two cores.
_base_ = ['./pretrain-1500i.py']

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=50, T_max=1150, end=1200
    ),
]
train_cfg = dict(max_iters=1200, val_interval=1200)
custom_hooks = [dict(type='PoseLossSwitchHook', begin=1080, by_epoch=False)]
