# The demo: a simulated drive in the nuScenes layout, minutes on two cores.
_base_ = [
    '../_base_/models/nclr_minkunet-small_lite0.py',
    '../_base_/datasets/sim-nus-calib.py',
    '../_base_/schedules/pretrain-1500i.py',
    '../_base_/iter_runtime.py',
]

# Three of the six cameras a step: the LiDAR branch costs the same for any number.
train_pipeline = [dict(type='SampleCameras', num=3), *_base_.train_pipeline]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))

# Three images a step: fewer voxels for each keep the step as cheap as that of one image.
model = dict(calib_head=dict(num_voxels=384))
