# 25 % of the labels by the protocol of SLidR and its successors: of all 700 training scenes.
# Optimiser and epochs are those of the 600-scene family: mind that when you compare.
_base_ = [
    '../_base_/models/minkunet34_w32_seg.py',
    '../_base_/datasets/nus-lidarseg.py',
    '../_base_/schedules/finetune-50e.py',
    '../_base_/default_runtime.py',
]
# SLidR's loader keeps the last of each 4 scenes, not the first.
train_dataloader = dict(
    dataset=dict(ann_file='nuscenes_infos_train.pkl', fraction=0.25, protocol='scenes', offset=3)
)
