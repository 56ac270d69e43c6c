# SECOND's optimiser in minutes: one cycle of the learning rate, as in its 80 epochs.
iterations = 600
peak = 3e-3
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=peak / 10, betas=(0.95, 0.99), weight_decay=0.01),
    clip_grad=dict(max_norm=10, norm_type=2),
)
rise = int(0.4 * iterations)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=rise, eta_min=peak, end=rise, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        T_max=iterations - rise,
        eta_min=peak * 1e-4,
        begin=rise,
        end=iterations,
        by_epoch=False,
    ),
]
train_cfg = dict(by_epoch=False, max_iters=iterations, val_interval=iterations)
val_cfg = dict()
test_cfg = dict()
