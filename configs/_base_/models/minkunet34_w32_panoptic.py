# MinkowskiPanoptic's settings: cross entropy x 2, Lovasz x 6, offsets, mean shift of 1.2 m.
_base_ = ['./minkunet34_w32_seg.py']
thing_labels = list(range(10))
model = dict(
    type='PanopticMinkUNet',
    data_preprocessor=dict(thing_labels=thing_labels),
    thing_labels=thing_labels,
    offset_head=dict(type='OffsetHead', channels=96),
    min_points=10,  # 50 on SemanticKITTI
    decode_head=dict(
        type='LovaszMinkUNetHead',
        loss_decode=dict(loss_weight=2.0),
        loss_lovasz=dict(type='LovaszLoss', reduction='none', loss_weight=6.0),
    ),
    clustering=dict(type='MeanShiftClustering', bandwidth=1.2),
)
