# SemanticKITTI, 19 classes, moving objects merged. Augmentation as in the official fine-tuning: a
# turn about z, flips.
dataset_type = 'SemanticKittiSegmentationDataset'
data_root = 'data/semantickitti/'
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
    dict(type='Pack3DDetInputs', keys=['points', 'pts_semantic_mask'], meta_keys=meta_keys),
]
test_pipeline = [
    *load_pipeline,
    dict(type='Pack3DDetInputs', keys=['points'], meta_keys=meta_keys),
]
tta_pipeline = [
    *load_pipeline,
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(
                    type='RandomFlip3D',
                    sync_2d=False,
                    flip_ratio_bev_horizontal=horizontal,
                    flip_ratio_bev_vertical=vertical,
                )
                for horizontal in (0.0, 1.0)
                for vertical in (0.0, 1.0)
            ],
            [
                dict(
                    type='GlobalRotScaleTrans',
                    rot_range=[angle, angle],
                    scale_ratio_range=[1.0, 1.0],
                    translation_std=[0, 0, 0],
                )
                for angle in (0.0, 1.57079633)
            ],
            [dict(type='Pack3DDetInputs', keys=['points'], meta_keys=meta_keys)],
        ],
    ),
]
tta_model = dict(type='Seg3DTTAModel')

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
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
    num_workers=2,
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
