# 40 real frames of one KITTI drive: train on 0-29, test on 34-39.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/real-semantickitti-sequence.py',
    '../_base_/schedules/pretrain-1500i.py',
    '../_base_/iter_runtime.py',
]

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
