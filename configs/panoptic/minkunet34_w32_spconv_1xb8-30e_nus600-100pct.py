# Panoptic segmentation; from pretrained weights with load_from, or from scratch without.
_base_ = [
    '../_base_/models/minkunet34_w32_panoptic.py',
    '../_base_/datasets/nus-panoptic.py',
    '../_base_/schedules/finetune-30e.py',
    '../_base_/default_runtime.py',
]
