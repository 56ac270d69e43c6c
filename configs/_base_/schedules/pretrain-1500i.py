# Small runs, counted in iterations: AdamW, 50 steps of warm-up, cosine to lr/100.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=1e-3),
    clip_grad=dict(max_norm=10.0),
)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min_ratio=0.01, by_epoch=False, begin=50, T_max=1450, end=1500
    ),
]

train_cfg = dict(by_epoch=False, max_iters=1500, val_interval=1500)
val_cfg = dict()
test_cfg = dict()

# As in the official schedule, the pose loss is added for the last tenth.
custom_hooks = [dict(type='PoseLossSwitchHook', begin=1350, by_epoch=False)]
