# An hour and a half on one core, with one camera and a branch of points.
_base_ = ['./pretrain-1500i.py']

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=50, T_max=2950, end=3000
    ),
]
train_cfg = dict(max_iters=3000, val_interval=3000)
custom_hooks = [dict(type='PoseLossSwitchHook', begin=2700, by_epoch=False)]
