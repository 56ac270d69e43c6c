# SemanticKITTI for NCLR, colour camera 2. Image size and batch size are those of the official code,
# which also resizes and mirrors the images and does no more to them.
dataset_type = 'SemanticKittiCalibrationDataset'
data_root = 'data/semantickitti/'
image_scale = (512, 160)  # width, height
point_cloud_range = [-51.2, -51.2, -51.2, 51.2, 51.2, 51.2]
meta_keys = ['sample_idx', 'repeat_idx', 'lidar_path', 'img_path']
meta_keys += ['cam_names', 'cam2img', 'lidar2cam', 'perturbation']

load_pipeline = [
    dict(type='LoadLidarPoints', load_dim=4, use_dim=4),
    dict(type='LoadCalibratedImages'),
]
train_pipeline = [
    *load_pipeline,
    dict(type='ResizeImages', scale=image_scale),
    dict(type='RandomFlipImages', prob=0.5),
    dict(type='RigidPerturbation'),  # yaw in [0, 2 pi), shift N(0, 4 m) clipped at 15 m
    dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='PackCalibrationInputs', keys=['points', 'img'], meta_keys=meta_keys),
]
test_pipeline = [
    *load_pipeline,
    dict(type='ResizeImages', scale=image_scale),
    dict(type='RigidPerturbation', seed_by_sample=True),
    dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='PackCalibrationInputs', keys=['points', 'img'], meta_keys=meta_keys),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededDefaultSampler', shuffle=True),
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

val_evaluator = dict(type='CalibrationMetric')
test_evaluator = val_evaluator
