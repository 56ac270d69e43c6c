# mmdet3d's MinkUNet segmentor on the backbone that is pretrained. Input and voxels are those of the
# pretraining (nclr_minkunet34_r50.py); data sets set num_classes and ignore_index.
num_classes = 16
model = dict(
    type='MinkUNet',
    data_preprocessor=dict(
        type='SegmentationDataPreprocessor',
        voxel_size=[0.1, 0.1, 0.1],
        feature_columns=[3],
        ignore_index=num_classes,
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
    decode_head=dict(
        type='MinkUNetHead',
        channels=96,
        num_classes=num_classes,
        dropout_ratio=0,
        loss_decode=dict(type='mmdet.CrossEntropyLoss', avg_non_ignore=True),
        ignore_index=num_classes,
    ),
    train_cfg=dict(),
    test_cfg=dict(),
)
# Head, preprocessor and data agree about the classes.
custom_hooks = [dict(type='ClassFitHook')]
