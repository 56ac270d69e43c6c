# Official pretraining on nuScenes: 600 scenes, six cameras, batch 10.
_base_ = [
    '../_base_/models/nclr_minkunet34_r50.py',
    '../_base_/datasets/nus-calib-224x416.py',
    '../_base_/schedules/pretrain-50e.py',
    '../_base_/default_runtime.py',
]

# For --auto-scale-lr on several GPUs.
auto_scale_lr = dict(enable=False, base_batch_size=10)
