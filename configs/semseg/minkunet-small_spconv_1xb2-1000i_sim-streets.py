# Fine-tuning on simulated streets; labelled part and start:
#   --cfg-options train_dataloader.dataset.fraction=0.02 load_from=work_dirs/.../iter_8000.pth
_base_ = [
    '../_base_/models/minkunet-small_seg.py',
    '../_base_/datasets/sim-semantickitti-seg.py',
    '../_base_/schedules/finetune-1000i.py',
    '../_base_/iter_runtime.py',
]
