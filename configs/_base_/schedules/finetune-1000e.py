_base_ = ['./finetune-30e.py']

epochs = 1000
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        T_max=epochs,
        end=epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
