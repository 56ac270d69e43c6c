# To overfit a single frame.
_base_ = ['./pretrain-1500i.py']

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=50, T_max=950, end=1000
    ),
]
train_cfg = dict(max_iters=1000, val_interval=1000)
custom_hooks = [dict(type='PoseLossSwitchHook', begin=900, by_epoch=False)]
