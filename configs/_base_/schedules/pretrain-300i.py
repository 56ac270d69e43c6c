# To overfit a single frame.
_base_ = ['./pretrain-1500i.py']

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=50, T_max=250, end=300
    ),
]
train_cfg = dict(max_iters=300, val_interval=300)
custom_hooks = [dict(type='PoseLossSwitchHook', begin=270, by_epoch=False)]
