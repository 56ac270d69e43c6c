# Fine-tuning in minutes on one core. The head is new, and in 400 steps a layer at 1e-3 stays far
# from converged: ten times faster takes random weights from 24.6 to 34.8 mIoU with all labels. (Of
# the panoptic heads this is the semantic one.)
_base_ = ['./finetune-1000i.py']
iterations = 400
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(decode_head=dict(lr_mult=10))))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=iterations, end=iterations, by_epoch=False)]
train_cfg = dict(max_iters=iterations, val_interval=iterations)
