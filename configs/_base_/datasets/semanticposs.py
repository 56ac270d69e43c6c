# SemanticPOSS, 13 classes; its intensity is stored as 0 to 255.
_base_ = ['./semantickitti-seg.py']
dataset_type = 'SemanticPossDataset'
data_root = 'data/semanticposs/'

load_pipeline = [
    _base_.load_pipeline[0],
    dict(type='ScalePointIntensity', scale=1 / 255),
    *_base_.load_pipeline[1:],
]
train_pipeline = [*load_pipeline, *_base_.train_pipeline[2:]]
test_pipeline = [*load_pipeline, *_base_.test_pipeline[2:]]
tta_pipeline = [*load_pipeline, *_base_.tta_pipeline[2:]]

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='semanticposs_infos_train.pkl',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='semanticposs_infos_val.pkl',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
