# 50 % of the labels of nuScenes-lidarseg, of the 600 scenes that NCLR pretrains on.
_base_ = [
    '../_base_/models/minkunet34_w32_seg.py',
    '../_base_/datasets/nus-lidarseg.py',
    '../_base_/schedules/finetune-50e.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(fraction=0.5, protocol='scenes'))
