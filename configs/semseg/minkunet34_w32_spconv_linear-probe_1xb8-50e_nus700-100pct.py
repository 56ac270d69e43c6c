# Linear probing: the backbone frozen, batch norm too; one linear layer.
_base_ = [
    '../_base_/models/minkunet34_w32_seg.py',
    '../_base_/datasets/nus-lidarseg.py',
    '../_base_/schedules/finetune-50e.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(frozen=True))
train_dataloader = dict(dataset=dict(ann_file='nuscenes_infos_train.pkl'))
