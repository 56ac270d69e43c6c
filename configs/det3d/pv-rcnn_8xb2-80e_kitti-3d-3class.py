# PV-RCNN on KITTI with mmdet3d's default settings, but for ground planes, a download of their own;
# load_from=CHECKPOINT starts from pretraining.
_base_ = [
    'mmdet3d::pv_rcnn/pv_rcnn_8xb2-80e_kitti-3d-3class.py',
    '../_base_/detection_parts.py',
]
model = _base_.checked_model

load_points = _base_.load_view_points
db_sampler = dict(_base_.db_sampler, type='CheckedDataBaseSampler', points_loader=load_points)
# Their first stage loads points, the last packs.
train_pipeline = [load_points] + [
    dict(type='ObjectSample', db_sampler=db_sampler) if stage['type'] == 'ObjectSample' else stage
    for stage in _base_.train_pipeline[1:-1]
]
train_pipeline += [dict(_base_.train_pipeline[-1], type='PackLidarInputs')]
test_pipeline = [load_points, *_base_.test_pipeline[1:]]
train_dataloader = dict(
    sampler=dict(type='SeededDefaultSampler'),
    dataset=dict(dataset=dict(type='KittiDetectionDataset', pipeline=train_pipeline)),
)
val_dataloader = dict(dataset=dict(type='KittiDetectionDataset', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='KittiDetectionMetric')
test_evaluator = val_evaluator

# Theirs says 48, which is SECOND's.
auto_scale_lr = dict(base_batch_size=16)
default_hooks = _base_.detection_hooks

custom_imports = dict(imports=['nclr_mm'], allow_failed_imports=False)
