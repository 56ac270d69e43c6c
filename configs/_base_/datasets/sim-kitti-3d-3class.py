# KITTI object detection on simulated streets (see sim-kitti-calib.py): mmdet3d's pipelines for
# KITTI within a whole number of voxels of 0.2 m.
dataset_type = 'KittiDetectionDataset'
data_root = 'data/streets/kitti/'
point_cloud_range = [0, -25.6, -3, 51.2, 25.6, 1]
metainfo = dict(classes=['Pedestrian', 'Cyclist', 'Car'])
modality = dict(use_lidar=True, use_camera=False)
# Of a scan only what the camera sees is left, which may be nothing.
load_points = dict(type='LoadLidarPoints', allow_empty=True)

db_sampler = dict(
    type='CheckedDataBaseSampler',
    data_root=data_root,
    info_path=data_root + 'kitti_dbinfos_train.pkl',
    rate=1.0,
    prepare=dict(
        filter_by_difficulty=[-1],
        filter_by_min_points=dict(Car=5, Pedestrian=10, Cyclist=10),
    ),
    classes=metainfo['classes'],
    sample_groups=dict(Car=12, Pedestrian=6, Cyclist=6),
    points_loader=load_points,
)
# Moved objects and rotated scenes only slow a short training down.
train_pipeline = [
    load_points,
    dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True),
    dict(type='ObjectSample', db_sampler=db_sampler),
    dict(type='RandomFlip3D', flip_ratio_bev_horizontal=0.5),
    dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='ObjectRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='PointShuffle'),
    dict(type='PackLidarInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d']),
]
test_pipeline = [
    load_points,
    dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='Pack3DDetInputs', keys=['points']),
]
data_prefix = dict(pts='training/velodyne_reduced')

train_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    # Iterations go on over the few frames of a fraction without the pause between epochs.
    sampler=dict(type='SeededInfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='kitti_infos_train.pkl',
        data_prefix=data_prefix,
        pipeline=train_pipeline,
        modality=modality,
        metainfo=metainfo,
        box_type_3d='LiDAR',
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
        ann_file='kitti_infos_val.pkl',
        data_prefix=data_prefix,
        pipeline=test_pipeline,
        modality=modality,
        metainfo=metainfo,
        box_type_3d='LiDAR',
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='KittiDetectionMetric', ann_file=data_root + 'kitti_infos_val.pkl')
test_evaluator = val_evaluator
