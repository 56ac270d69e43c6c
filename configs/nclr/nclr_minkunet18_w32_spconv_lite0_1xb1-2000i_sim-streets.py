# Many simulated streets, MinkUNet18 of the official width and voxels of 0.2 m.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/sim-streets.py',
    '../_base_/schedules/pretrain-2000i.py',
    '../_base_/iter_runtime.py',
]

model = dict(
    backbone=dict(
        base_channels=32,
        encoder_channels=[32, 64, 128, 256],
        encoder_blocks=[2, 2, 2, 2],
        decoder_channels=[256, 128, 96, 96],
        decoder_blocks=[2, 2, 2, 2],
    ),
    calib_head=dict(point_channels=96),
)

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
