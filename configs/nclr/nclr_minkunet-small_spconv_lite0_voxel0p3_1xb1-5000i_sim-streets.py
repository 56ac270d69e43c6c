# Many simulated streets and large voxels: the pretraining whose weights are fine-tuned with few
# labels on two cores (docs/results.md).
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/sim-streets.py',
    '../_base_/schedules/pretrain-5000i.py',
    '../_base_/iter_runtime.py',
]

model = dict(data_preprocessor=dict(voxel_size=[0.3, 0.3, 0.3]))

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
