# MinkUNet34 overfits one real nuScenes frame under random perturbations.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/real-nus-frame.py',
    '../_base_/schedules/pretrain-1000i.py',
    '../_base_/iter_runtime.py',
]

model = dict(
    backbone=dict(
        base_channels=32,
        encoder_channels=[32, 64, 128, 256],
        encoder_blocks=[2, 3, 4, 6],
        decoder_channels=[256, 128, 96, 96],
        decoder_blocks=[2, 2, 2, 2],
    ),
    calib_head=dict(point_channels=96, num_voxels=384),
)

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
