# A small VoxelNet on simulated streets in the KITTI layout, for CPUs.
_base_ = [
    '../_base_/models/nclr_second-small_lite0.py',
    '../_base_/datasets/sim-kitti-calib.py',
    '../_base_/schedules/pretrain-2500i.py',
    '../_base_/iter_runtime.py',
]

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
