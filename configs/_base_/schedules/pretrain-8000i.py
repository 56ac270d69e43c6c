# An hour on two cores, with one camera.
_base_ = ['./pretrain-1500i.py']

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=50, T_max=7950, end=8000
    ),
]
train_cfg = dict(max_iters=8000, val_interval=8000)
custom_hooks = [dict(type='PoseLossSwitchHook', begin=7200, by_epoch=False)]
