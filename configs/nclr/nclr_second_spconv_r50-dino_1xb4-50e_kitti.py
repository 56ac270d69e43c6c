# The network of SECOND and PV-RCNN on the training half of KITTI object detection.
_base_ = [
    '../_base_/models/nclr_second_r50.py',
    '../_base_/datasets/kitti-calib-160x512.py',
    '../_base_/schedules/pretrain-50e.py',
    '../_base_/default_runtime.py',
]

# A scan of 120,000 points gives up to 90,000 voxels; mmdet3d leaves out what comes last, which in
# KITTI's files are the lowest beams.
model = dict(data_preprocessor=dict(voxel_layer=dict(max_voxels=(130000, 130000))))

# For --auto-scale-lr on several GPUs.
auto_scale_lr = dict(enable=False, base_batch_size=4)
