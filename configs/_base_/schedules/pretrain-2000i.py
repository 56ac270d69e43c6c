# Two hours on one core, with one camera and a network of the full width.
_base_ = ['./pretrain-1500i.py']

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=50, T_max=1950, end=2000
    ),
]
train_cfg = dict(max_iters=2000, val_interval=2000)
custom_hooks = [dict(type='PoseLossSwitchHook', begin=1800, by_epoch=False)]
