# Official fine-tuning: AdamW 1e-3, weight decay 1e-4, cosine. Epochs by labelled part: 30 at 100 %,
# 50 at 50 %, 100 at 10 %, 500 at 1 %, 1000 at 0.1 %.
epochs = 30
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        T_max=epochs,
        end=epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(by_epoch=True, max_epochs=epochs, val_interval=epochs)
val_cfg = dict()
test_cfg = dict()
