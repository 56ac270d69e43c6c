# Labelled simulated streets in the SemanticKITTI layout, see sim-streets.py: 19 classes.
dataset_type = 'SemanticKittiSegmentationDataset'
data_root = 'data/streets/semantickitti/'
point_cloud_range = [-51.2, -51.2, -51.2, 51.2, 51.2, 51.2]
meta_keys = ['sample_name', 'lidar_path']

load_pipeline = [
    dict(type='LoadLidarPoints', load_dim=4, use_dim=4),
    dict(type='LoadPointLabels'),
]
train_pipeline = [
    *load_pipeline,
    dict(
        type='GlobalRotScaleTrans',
        rot_range=[-3.14159265, 3.14159265],
        scale_ratio_range=[1.0, 1.0],
        translation_std=[0, 0, 0],
    ),
    dict(
        type='RandomFlip3D',
        sync_2d=False,
        flip_ratio_bev_horizontal=0.5,
        flip_ratio_bev_vertical=0.5,
    ),
    dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='Pack3DDetInputs', keys=['points', 'pts_semantic_mask'], meta_keys=meta_keys),
]
test_pipeline = [
    *load_pipeline,
    dict(type='Pack3DDetInputs', keys=['points'], meta_keys=meta_keys),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='semantickitti_infos_train.pkl',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='semantickitti_infos_val.pkl',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='LidarSegMetric')
test_evaluator = val_evaluator
