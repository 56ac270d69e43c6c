# All labels of nuScenes-lidarseg (the 600 scenes that NCLR pretrains on). From pretrained weights:
#   python tools/train.py THIS --cfg-options load_from=work_dirs/.../epoch_50.pth
_base_ = [
    '../_base_/models/minkunet34_w32_seg.py',
    '../_base_/datasets/nus-lidarseg.py',
    '../_base_/schedules/finetune-30e.py',
    '../_base_/default_runtime.py',
]
