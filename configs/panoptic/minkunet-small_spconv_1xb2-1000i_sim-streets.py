# Panoptic segmentation; from pretrained weights with load_from, or from scratch without.
_base_ = [
    '../_base_/models/minkunet-small_panoptic.py',
    '../_base_/datasets/sim-semantickitti-panoptic.py',
    '../_base_/schedules/finetune-1000i.py',
    '../_base_/iter_runtime.py',
]
