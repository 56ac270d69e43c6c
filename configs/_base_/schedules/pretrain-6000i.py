# For many streets with several cameras.
_base_ = ['./pretrain-1500i.py']

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=50, T_max=5950, end=6000
    ),
]
train_cfg = dict(max_iters=6000, val_interval=6000)
custom_hooks = [dict(type='PoseLossSwitchHook', begin=5400, by_epoch=False)]
