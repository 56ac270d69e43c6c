# Official pretraining on SemanticKITTI: camera 2, batch 4, voxels of 0.05 m.
_base_ = [
    '../_base_/models/nclr_minkunet18_r50.py',
    '../_base_/datasets/semantickitti-calib-160x512.py',
    '../_base_/schedules/pretrain-50e.py',
    '../_base_/default_runtime.py',
]

# For --auto-scale-lr on several GPUs.
auto_scale_lr = dict(enable=False, base_batch_size=4)
