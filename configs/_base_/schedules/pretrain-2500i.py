# An hour on one core, with one camera and SECOND's small network.
_base_ = ['./pretrain-1500i.py']

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=50, T_max=2450, end=2500
    ),
]
train_cfg = dict(max_iters=2500, val_interval=2500)
custom_hooks = [dict(type='PoseLossSwitchHook', begin=2250, by_epoch=False)]
