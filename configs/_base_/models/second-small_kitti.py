# SECOND on the small network of nclr_second-small_lite0.py, in front of the car as on KITTI.
_base_ = ['mmdet3d::_base_/models/second_hv_secfpn_kitti.py']
voxel_size = [0.2, 0.2, 0.2]
voxel_range = [0, -25.6, -3, 51.2, 25.6, 1]
# All that depends on the two is computed from them.
sparse_shape = [
    round((voxel_range[i + 3] - voxel_range[i]) / voxel_size[i]) + (i == 2) for i in (2, 1, 0)
]
anchor_ranges = [[*voxel_range[:2], z, *voxel_range[3:5], z] for z in (-0.6, -0.6, -1.78)]
# Statistics that keep up with some hundred steps.
norm = dict(eps=1e-3, momentum=0.05)

model = dict(
    data_preprocessor=dict(
        type='CheckedDet3DDataPreprocessor',
        voxel_layer=dict(voxel_size=voxel_size, point_cloud_range=voxel_range),
    ),
    middle_encoder=dict(
        type='CalibrationSparseEncoder',
        sparse_shape=sparse_shape,
        encoder_channels=((16,), (32, 32), (64, 64)),
        encoder_paddings=((1,), (1, 1), (1, 1)),
        norm_cfg=dict(norm, type='BN1d'),
    ),
    backbone=dict(layer_nums=[2, 2], out_channels=[64, 128], norm_cfg=dict(norm, type='BN')),
    neck=dict(
        in_channels=[64, 128],
        upsample_strides=[2, 4],
        out_channels=[64, 64],
        norm_cfg=dict(norm, type='BN'),
    ),
    bbox_head=dict(
        in_channels=128,
        feat_channels=128,
        anchor_generator=dict(ranges=anchor_ranges),
    ),
)
