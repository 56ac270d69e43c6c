# The demo: a simulated drive through a few streets in the nuScenes layout, minutes on two cores.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/sim-nus-calib.py',
    '../_base_/schedules/pretrain-1200i.py',
    '../_base_/iter_runtime.py',
]

# Three of the six cameras a step, for the LiDAR branch costs the same for any number; fewer voxels
# a camera; and no image augmentation, which a short training has no time to gain from.
model = dict(calib_head=dict(num_voxels=384))
train_pipeline = [
    dict(type='SampleCameras', num=3),
    *_base_.load_pipeline,
    dict(type='ResizeImages', scale=_base_.image_scale),
    dict(type='RigidPerturbation'),
    *_base_.train_pipeline[-2:],
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))

# Draw overlap, matches and poses of the first sample that is tested.
custom_hooks = [*_base_.custom_hooks, dict(type='CalibrationVisualizationHook', max_samples=1)]
