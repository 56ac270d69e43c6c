# Many simulated streets, tested on unseen ones: an hour on two cores.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/sim-streets.py',
    '../_base_/schedules/pretrain-8000i.py',
    '../_base_/iter_runtime.py',
]

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
