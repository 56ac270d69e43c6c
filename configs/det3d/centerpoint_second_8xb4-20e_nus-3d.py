# CenterPoint on nuScenes with the network that NCLR pretrains there, on what it saw there: SECOND's
# encoder and neck, voxels of 0.05 x 0.05 x 0.1 m, one sweep, intensity of 0 to 1. The heads, losses
# and schedule are mmdet3d's; objects are not sampled, for which nuScenes needs a database.
# load_from=CHECKPOINT starts from pretraining.
_base_ = [
    'mmdet3d::centerpoint/centerpoint_voxel01_second_secfpn_8xb4-cyclic-20e_nus-3d.py',
    '../_base_/detection_parts.py',
]
voxel_size = [0.05, 0.05, 0.1]
voxel_range = [-51.2, -51.2, -3, 51.2, 51.2, 1]
# All that depends on the two is computed from them.
grid_size = [round((voxel_range[i + 3] - voxel_range[i]) / voxel_size[i]) for i in range(3)]

model = dict(
    data_preprocessor=dict(
        type='CheckedDet3DDataPreprocessor',
        voxel_layer=dict(
            max_num_points=5,
            voxel_size=voxel_size,
            point_cloud_range=voxel_range,
            max_voxels=(60000, 60000),
        ),
    ),
    pts_voxel_encoder=dict(num_features=4),
    pts_middle_encoder=dict(
        _delete_=True,
        type='CalibrationSparseEncoder',
        in_channels=4,
        sparse_shape=[grid_size[2] + 1, grid_size[1], grid_size[0]],
        order=('conv', 'norm', 'act'),
    ),
    pts_neck=dict(use_conv_for_no_stride=False),
    pts_bbox_head=dict(bbox_coder=dict(pc_range=voxel_range[:2], voxel_size=voxel_size[:2])),
    train_cfg=dict(
        pts=dict(grid_size=grid_size, voxel_size=voxel_size, point_cloud_range=voxel_range)
    ),
    test_cfg=dict(pts=dict(pc_range=voxel_range[:2], voxel_size=voxel_size[:2])),
)

load_points = [
    dict(type='LoadLidarPoints', load_dim=5),
    dict(type='ScalePointIntensity', scale=1 / 255),  # nuScenes stores 0 to 255
]
within = dict(point_cloud_range=voxel_range)
# Their first two stages load points of ten sweeps, the last packs.
train_pipeline = load_points + [
    dict(stage, **within) if stage['type'] in ('PointsRangeFilter', 'ObjectRangeFilter') else stage
    for stage in _base_.train_pipeline[2:-1]
    if stage['type'] != 'ObjectSample'
]
train_pipeline += [dict(_base_.train_pipeline[-1], type='PackLidarInputs')]
test_pipeline = [
    *load_points,
    dict(type='PointsRangeFilter', **within),
    dict(type='Pack3DDetInputs', keys=['points']),
]
# mmdet3d's, which also looks at the paths of the info file.
dataset_type = 'NuScenesDetectionDataset'
train_dataloader = dict(
    sampler=dict(type='SeededDefaultSampler'),
    dataset=dict(
        type='SeededCBGSDataset', dataset=dict(type=dataset_type, pipeline=train_pipeline)
    ),
)
val_dataloader = dict(dataset=dict(type=dataset_type, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(type=dataset_type, pipeline=test_pipeline))
# mmdet3d's, over the frames of the info file, also where they are a part of the split.
val_evaluator = dict(type='NuScenesDetectionMetric')
test_evaluator = dict(type='NuScenesDetectionMetric')

custom_imports = dict(imports=['nclr_mm'], allow_failed_imports=False)
# load_from must fill all that NCLR pretrains, which has the prefix pts_ here.
pretrained = ['pts_voxel_encoder', 'pts_middle_encoder', 'pts_backbone', 'pts_neck']
loaded_weights = dict(type='LoadedWeightsHook', modules=pretrained, prefix='pts_')
default_hooks = dict(_base_.detection_hooks, loaded_weights=loaded_weights)
