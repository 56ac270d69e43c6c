# SemanticKITTI, things are its first eight classes.
_base_ = ['./minkunet34_w32_panoptic.py']
num_classes = 19
thing_labels = list(range(8))
model = dict(
    data_preprocessor=dict(
        voxel_size=[0.05, 0.05, 0.05], ignore_index=num_classes, thing_labels=thing_labels
    ),
    backbone=dict(encoder_blocks=[2, 2, 2, 2]),
    decode_head=dict(num_classes=num_classes, ignore_index=num_classes),
    thing_labels=thing_labels,
    min_points=50,
)
