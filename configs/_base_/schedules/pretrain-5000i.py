# An hour and a quarter on one core, with one camera and voxels of 0.3 m.
_base_ = ['./pretrain-1500i.py']

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=50, T_max=4950, end=5000
    ),
]
train_cfg = dict(max_iters=5000, val_interval=5000)
custom_hooks = [dict(type='PoseLossSwitchHook', begin=4500, by_epoch=False)]
