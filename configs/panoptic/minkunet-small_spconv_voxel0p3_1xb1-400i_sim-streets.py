# Panoptic segmentation with large voxels and few iterations, for tools/compare.py on two cores.
_base_ = [
    '../_base_/models/minkunet-small_panoptic.py',
    '../_base_/datasets/sim-semantickitti-panoptic.py',
    '../_base_/schedules/finetune-400i.py',
    '../_base_/iter_runtime.py',
]
model = dict(data_preprocessor=dict(voxel_size=[0.3, 0.3, 0.3]))
train_dataloader = dict(batch_size=1)
