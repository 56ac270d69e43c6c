# Many simulated streets, three of the six cameras a step.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/sim-nus-calib.py',
    '../_base_/schedules/pretrain-6000i.py',
    '../_base_/iter_runtime.py',
]

model = dict(calib_head=dict(num_voxels=384))
train_pipeline = [dict(type='SampleCameras', num=3), *_base_.train_pipeline]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
