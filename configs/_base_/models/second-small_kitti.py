# SECOND on the small network of nclr_second-small_lite0.py, in front of the car as on KITTI.
_base_ = ['mmdet3d::_base_/models/second_hv_secfpn_kitti.py']
voxel_size = [0.16, 0.16, 0.1]
voxel_range = [0, -39.68, -3, 69.12, 39.68, 1]

model = dict(
    data_preprocessor=dict(voxel_layer=dict(voxel_size=voxel_size, point_cloud_range=voxel_range)),
    middle_encoder=dict(sparse_shape=[41, 496, 432]),
    backbone=dict(layer_nums=[2, 2], out_channels=[64, 128]),
    neck=dict(in_channels=[64, 128], upsample_strides=[4, 8], out_channels=[64, 64]),
    bbox_head=dict(
        in_channels=128,
        feat_channels=128,
        anchor_generator=dict(
            ranges=[
                [0, -39.68, -0.6, 69.12, 39.68, -0.6],
                [0, -39.68, -0.6, 69.12, 39.68, -0.6],
                [0, -39.68, -1.78, 69.12, 39.68, -1.78],
            ]
        ),
    ),
)
