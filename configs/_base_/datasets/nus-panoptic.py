# The same data with objects.
_base_ = ['./nus-lidarseg.py']
load_pipeline = [*_base_.load_pipeline[:-1], dict(type='LoadPointLabels', with_instances=True)]
train_pipeline = [
    *load_pipeline,
    *_base_.train_pipeline[len(load_pipeline) : -1],
    dict(
        type='PackLidarInputs',
        keys=['points', 'pts_semantic_mask', 'pts_instance_mask'],
        meta_keys=_base_.meta_keys,
    ),
]
test_pipeline = [*load_pipeline, *_base_.test_pipeline[len(load_pipeline) :]]
train_dataloader = dict(dataset=dict(panoptic=True, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(panoptic=True, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='PanopticMetric', min_num_points=15)
test_evaluator = val_evaluator
# Objects of augmented clouds have no common numbers: there is no augmentation at test time.
tta_model = None
tta_pipeline = None
