# The small backbone, SemanticKITTI's classes.
_base_ = ['./minkunet18_w32_panoptic.py']
model = dict(
    data_preprocessor=dict(voxel_size=[0.2, 0.2, 0.2]),
    backbone=dict(
        base_channels=16,
        encoder_channels=[16, 32, 64, 128],
        encoder_blocks=[1, 1, 1, 1],
        decoder_channels=[128, 64, 48, 48],
        decoder_blocks=[1, 1, 1, 1],
    ),
    decode_head=dict(channels=48),
    offset_head=dict(channels=48),
)
