_base_ = ['./nclr_minkunet34_r50.py']

model = dict(
    data_preprocessor=dict(voxel_size=[0.05, 0.05, 0.05]),  # SemanticKITTI (official)
    backbone=dict(encoder_blocks=[2, 2, 2, 2]),
)
