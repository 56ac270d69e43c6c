# Official schedule: AdamW 1e-3, weight decay 1e-3, 5 % linear warm-up, cosine to lr/100, 50 epochs.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-3))

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        by_epoch=True,
        begin=0,
        end=2.5,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.01,
        by_epoch=True,
        begin=2.5,
        T_max=47.5,
        end=50,
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(by_epoch=True, max_epochs=50, val_interval=10)
val_cfg = dict()
test_cfg = dict()

# The pose loss is added from epoch 45 of 50 (official).
custom_hooks = [
    dict(type='PoseLossSwitchHook', begin=45),
    # Sheets of four samples in each validation, to files and TensorBoard.
    dict(type='CalibrationVisualizationHook', interval=500, max_samples=4),
]
