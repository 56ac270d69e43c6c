# The network of SECOND and PV-RCNN on the training half of KITTI object detection.
_base_ = [
    '../_base_/models/nclr_second_r50.py',
    '../_base_/datasets/kitti-calib-160x512.py',
    '../_base_/schedules/pretrain-50e.py',
    '../_base_/default_runtime.py',
]

# For --auto-scale-lr on several GPUs.
auto_scale_lr = dict(enable=False, base_batch_size=4)
