# Official pretraining of the network of SECOND and PV-RCNN on nuScenes.
_base_ = [
    '../_base_/models/nclr_second_r50.py',
    '../_base_/datasets/nus-calib-224x416.py',
    '../_base_/schedules/pretrain-50e.py',
    '../_base_/default_runtime.py',
]

# For --auto-scale-lr on several GPUs.
auto_scale_lr = dict(enable=False, base_batch_size=10)
