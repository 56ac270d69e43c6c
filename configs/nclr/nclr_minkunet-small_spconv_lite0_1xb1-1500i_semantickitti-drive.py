# 40 real frames of one KITTI drive: train on 0-29, test on 34-39.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/real-semantickitti-sequence.py',
    '../_base_/schedules/pretrain-1500i.py',
    '../_base_/iter_runtime.py',
]

# No image augmentation: on 30 frames of one street it only slows the training down.
train_pipeline = [
    *_base_.load_pipeline,
    dict(type='ResizeImages', scale=_base_.image_scale),
    dict(type='RigidPerturbation'),
    *_base_.train_pipeline[-2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
