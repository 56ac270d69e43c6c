# Official model: MinkUNet34 and a frozen ResNet-50 with DINO weights, 64 common channels.
model = dict(
    type='NCLR',
    data_preprocessor=dict(
        type='CalibrationDataPreprocessor',
        voxel_size=[0.1, 0.1, 0.1],  # nuScenes UNets (official); SemanticKITTI 0.05
        feature_columns=[3],  # intensity only (official)
        mean=[123.675, 116.28, 103.53],  # ImageNet, RGB
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='CalibrationMinkUNet',
        in_channels=1,
        num_stages=4,
        base_channels=32,
        encoder_channels=[32, 64, 128, 256],
        encoder_blocks=[2, 3, 4, 6],
        decoder_channels=[256, 128, 96, 96],
        decoder_blocks=[2, 2, 2, 2],
        block_type='basic',
        sparseconv_backend='spconv',
    ),
    img_backbone=dict(
        type='mmdet.ResNet',
        depth=50,
        num_stages=4,
        out_indices=(3,),
        frozen_stages=4,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,  # frozen means batch-norm statistics too
        style='pytorch',
        init_cfg=dict(
            type='CompletePretrained', checkpoint='checkpoints/dino_resnet50_pretrain.pth'
        ),
    ),
    img_neck=dict(
        type='UpsampleSum', in_channels=[2048], in_strides=[32], out_channels=64, out_stride=4
    ),
    calib_head=dict(
        type='CalibrationHead',
        point_channels=96,
        channels=64,
        num_voxels=4096,  # a camera (official)
        num_pairs=1024,  # a sample (official)
        alignment=dict(type='SymmetricAlignment'),  # LTA; CosineAlignment is the released code
        fusion=dict(type='CrossModalFusion'),
        loss_contrast=dict(type='PointInfoNCE', temperature=0.07),  # official
        loss_fused_contrast=dict(type='PointInfoNCE', temperature=0.07),  # official
        loss_point_overlap=dict(type='OverlapLoss'),
        loss_pixel_overlap=dict(type='OverlapLoss'),
        loss_pose=dict(type='PoseLoss', rotation_weight=1.0, translation_weight=0.01),  # official
        keypoints=dict(number=128, thresholds=(0.9, 0.7), minimum=10),  # official
        match_temperature=0.01,  # official
    ),
)
