# Official point branch of SECOND and PV-RCNN (VoxelNet): spconv encoder of 16-32-64-64 channels,
# voxels of 0.05 x 0.05 x 0.1 m within +-51.2 m and -3 to 1 m, features read from the BEV map.
_base_ = ['./nclr_minkunet34_r50.py']
voxel_size = [0.05, 0.05, 0.1]
voxel_range = [-51.2, -51.2, -3, 51.2, 51.2, 1]

model = dict(
    type='NCLRVoxelNet',
    data_preprocessor=dict(
        _delete_=True,
        type='HardVoxelCalibrationDataPreprocessor',
        # All that the range and the size of the voxels are taken from.
        voxel_layer=dict(
            voxel_size=voxel_size,
            point_cloud_range=voxel_range,
            max_num_points=5,
            max_voxels=(60000, 60000),  # a sweep is seen from all sides, not KITTI's front alone
        ),
        mean=[123.675, 116.28, 103.53],  # ImageNet, RGB
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    voxel_encoder=dict(type='HardSimpleVFE'),
    middle_encoder=dict(
        type='CalibrationSparseEncoder',
        in_channels=4,
        order=('conv', 'norm', 'act'),
    ),
    backbone=dict(
        _delete_=True,
        type='SECOND',
        in_channels=256,
        layer_nums=[5, 5],
        layer_strides=[1, 2],
        out_channels=[128, 256],
    ),
    neck=dict(
        type='SECONDFPN',
        in_channels=[128, 256],
        upsample_strides=[1, 2],
        out_channels=[256, 256],
    ),
    calib_head=dict(point_channels=512),
)
