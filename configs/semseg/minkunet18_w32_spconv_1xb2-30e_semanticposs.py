# SemanticPOSS, sequences 00, 01, 02, 04, 05 / 03.
_base_ = [
    '../_base_/models/minkunet18_w32_seg.py',
    '../_base_/datasets/semanticposs.py',
    '../_base_/schedules/finetune-30e.py',
    '../_base_/default_runtime.py',
]
num_classes = 13
model = dict(
    data_preprocessor=dict(ignore_index=num_classes),
    decode_head=dict(num_classes=num_classes, ignore_index=num_classes),
)
