# For CPUs and small data: large voxels, a sparse encoder of three stages, and the small image
# branch. The sparse encoder ends at cells of 0.8 m, the neck at 0.4 m as in the official network.
_base_ = ['./nclr_second_r50.py']
voxel_size = [0.2, 0.2, 0.2]
voxel_range = [-38.4, -38.4, -3, 38.4, 38.4, 1]

model = dict(
    data_preprocessor=dict(
        voxel_layer=dict(voxel_size=voxel_size, point_cloud_range=voxel_range),
        # The Lite networks were trained on (x - 127) / 128, not on ImageNet's mean and deviation.
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
    ),
    middle_encoder=dict(
        encoder_channels=((16,), (32, 32), (64, 64)),
        encoder_paddings=((1,), (1, 1), (1, 1)),
    ),
    backbone=dict(layer_nums=[2, 2], out_channels=[64, 128]),
    neck=dict(in_channels=[64, 128], upsample_strides=[2, 4], out_channels=[64, 64]),
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
