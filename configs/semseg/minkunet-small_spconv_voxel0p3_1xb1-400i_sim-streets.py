# Large voxels and few iterations: what tools/compare.py runs many times on two cores.
_base_ = [
    '../_base_/models/minkunet-small_seg.py',
    '../_base_/datasets/sim-semantickitti-seg.py',
    '../_base_/schedules/finetune-400i.py',
    '../_base_/iter_runtime.py',
]
model = dict(data_preprocessor=dict(voxel_size=[0.3, 0.3, 0.3]))
train_dataloader = dict(batch_size=1)
