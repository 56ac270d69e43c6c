# 1 % of the labels of SemanticKITTI.
_base_ = [
    '../_base_/models/minkunet18_w32_seg.py',
    '../_base_/datasets/semantickitti-seg.py',
    '../_base_/schedules/finetune-500e.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(dataset=dict(fraction=0.01, protocol='frames-of-sequences'))
