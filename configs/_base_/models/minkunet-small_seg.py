# The small backbone of nclr_minkunet-small_lite0.py as a segmentor.
_base_ = ['./minkunet34_w32_seg.py']
num_classes = 19
model = dict(
    data_preprocessor=dict(voxel_size=[0.2, 0.2, 0.2], ignore_index=num_classes),
    backbone=dict(
        base_channels=16,
        encoder_channels=[16, 32, 64, 128],
        encoder_blocks=[1, 1, 1, 1],
        decoder_channels=[128, 64, 48, 48],
        decoder_blocks=[1, 1, 1, 1],
    ),
    decode_head=dict(channels=48, num_classes=num_classes, ignore_index=num_classes),
)
