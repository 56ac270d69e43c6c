# The demo: a simulated drive through a street, minutes on two cores.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/sim-semantickitti.py',
    '../_base_/schedules/pretrain-1200i.py',
    '../_base_/iter_runtime.py',
]

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
