# For CPUs and small data: large voxels, a narrow BEV backbone, and the small image branch. The
# sparse encoder is SECOND's own, whose cells are 1.28 m here: the neck ends at cells of 0.32 m.
_base_ = ['./nclr_second_r50.py']
voxel_size = [0.16, 0.16, 0.1]
voxel_range = [-51.2, -51.2, -3, 51.2, 51.2, 1]

model = dict(
    voxel_size=voxel_size,
    point_cloud_range=voxel_range,
    data_preprocessor=dict(
        voxel_layer=dict(voxel_size=voxel_size, point_cloud_range=voxel_range),
        # The Lite networks were trained on (x - 127) / 128, not on ImageNet's mean and deviation.
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
    ),
    middle_encoder=dict(sparse_shape=[41, 640, 640]),
    backbone=dict(layer_nums=[2, 2], out_channels=[64, 128]),
    neck=dict(in_channels=[64, 128], upsample_strides=[4, 8], out_channels=[64, 64]),
    img_backbone=dict(_delete_=True, type='EfficientNetLite0', out_strides=(4, 8, 16, 32)),
    img_neck=dict(in_channels=[24, 40, 112, 320], in_strides=[4, 8, 16, 32]),
    calib_head=dict(
        point_channels=128,
        num_voxels=1024,
        preferred_fraction=0.5,
        fusion=dict(num_heads=2),
        loss_contrast=dict(symmetric=True),
        loss_fused_contrast=dict(symmetric=True),
        exclude_radius=1.0,
        test_cfg=dict(num_voxels=4096),
    ),
)
