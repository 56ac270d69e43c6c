_base_ = ['./minkunet34_w32_seg.py']
num_classes = 19
model = dict(
    data_preprocessor=dict(voxel_size=[0.05, 0.05, 0.05], ignore_index=num_classes),
    backbone=dict(encoder_blocks=[2, 2, 2, 2]),
    decode_head=dict(num_classes=num_classes, ignore_index=num_classes),
)
