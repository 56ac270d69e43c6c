# Two hours on one core, with one camera.
_base_ = ['./pretrain-1500i.py']

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=50, T_max=3950, end=4000
    ),
]
train_cfg = dict(max_iters=4000, val_interval=4000)
custom_hooks = [dict(type='PoseLossSwitchHook', begin=3600, by_epoch=False)]
