# SemanticKITTI, 19 classes, moving objects merged; augmentation as on nuScenes.
_base_ = ['./nus-lidarseg.py']
dataset_type = 'SemanticKittiSegmentationDataset'
data_root = 'data/semantickitti/'
meta_keys = ['sample_name', 'lidar_path']

load_pipeline = [
    dict(type='LoadLidarPoints', load_dim=4, use_dim=4),
    dict(type='LoadPointLabels'),
]
train_pack = dict(type='PackLidarInputs', keys=['points', 'pts_semantic_mask'], meta_keys=meta_keys)
test_pack = dict(type='Pack3DDetInputs', keys=['points'], meta_keys=meta_keys)
train_pipeline = [*load_pipeline, *_base_.augmentation, train_pack]
test_pipeline = [*load_pipeline, test_pack]
tta_pipeline = [
    *load_pipeline,
    dict(type='TestTimeAug', transforms=[*_base_.tta_transforms, [test_pack]]),
]

train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='semantickitti_infos_train.pkl',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='semantickitti_infos_val.pkl',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
