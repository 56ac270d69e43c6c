# Fine-tuning in minutes on one core.
_base_ = ['./finetune-1000i.py']
iterations = 400
param_scheduler = [dict(type='CosineAnnealingLR', T_max=iterations, end=iterations, by_epoch=False)]
train_cfg = dict(max_iters=iterations, val_interval=iterations)
