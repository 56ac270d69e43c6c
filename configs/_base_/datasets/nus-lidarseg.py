# nuScenes-lidarseg, 16 classes. Augmentation as in the official fine-tuning: a turn about z, flips.
dataset_type = 'NuScenesSegmentationDataset'
data_root = 'data/nuscenes/'
meta_keys = ['sample_name', 'token', 'lidar_token', 'lidar_path']

load_pipeline = [
    dict(type='LoadLidarPoints', load_dim=5, use_dim=4),
    dict(type='ScalePointIntensity', scale=1 / 255),  # nuScenes stores 0 to 255
    dict(type='LoadPointLabels'),
]
augmentation = [
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
]
# At test time: four mirror images in two directions.
tta_transforms = [
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
]
train_pack = dict(type='PackLidarInputs', keys=['points', 'pts_semantic_mask'], meta_keys=meta_keys)
test_pack = dict(type='Pack3DDetInputs', keys=['points'], meta_keys=meta_keys)
train_pipeline = [*load_pipeline, *augmentation, train_pack]
test_pipeline = [*load_pipeline, test_pack]
tta_pipeline = [*load_pipeline, dict(type='TestTimeAug', transforms=[*tta_transforms, [test_pack]])]
tta_model = dict(type='Seg3DTTAModel')

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededDefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='nuscenes_infos_pretrain600.pkl',
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
        ann_file='nuscenes_infos_val.pkl',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='LidarSegMetric')
test_evaluator = val_evaluator
