# Many simulated streets, the small MinkUNet with a branch of points beside it.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/sim-streets.py',
    '../_base_/schedules/pretrain-3000i.py',
    '../_base_/iter_runtime.py',
]

model = dict(backbone=dict(type='CalibrationSPVCNN'))

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
