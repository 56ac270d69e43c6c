# For CPUs and small data: a narrow MinkUNet and a frozen EfficientNet-Lite0, whose ImageNet weights
# come with a pip package.
_base_ = ['./nclr_minkunet34_r50.py']

model = dict(
    data_preprocessor=dict(
        voxel_size=[0.2, 0.2, 0.2],
        # The Lite networks were trained on (x - 127) / 128, not on ImageNet's mean and deviation.
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
    ),
    backbone=dict(
        base_channels=16,
        encoder_channels=[16, 32, 64, 128],
        encoder_blocks=[1, 1, 1, 1],
        decoder_channels=[128, 64, 48, 48],
        decoder_blocks=[1, 1, 1, 1],
    ),
    img_backbone=dict(_delete_=True, type='EfficientNetLite0', out_strides=(4, 8, 16, 32)),
    img_neck=dict(in_channels=[24, 40, 112, 320], in_strides=[4, 8, 16, 32]),
    calib_head=dict(
        point_channels=48,
        num_voxels=1024,
        preferred_fraction=0.5,
        fusion=dict(num_heads=2),
        loss_contrast=dict(symmetric=True),
        loss_fused_contrast=dict(symmetric=True),
        exclude_radius=1.0,
        test_cfg=dict(num_voxels=4096),
    ),
)
