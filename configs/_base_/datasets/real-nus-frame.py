# One nuScenes frame (scene-0061 of v1.0-mini), trained and tested on itself under fresh
# perturbations: the images stay as they are, so that only the calibration is to be learned.
#   python tools/create_data.py nuscenes --version v1.0-mini
_base_ = ['./nus-calib-224x416.py']

train_dataloader = dict(
    batch_size=1,
    num_workers=1,
    dataset=dict(
        ann_file='nuscenes_infos_train.pkl',
        indices=1,
        repeats=500,  # an epoch of 500 samples, so that workers restart seldom
        pipeline=[
            *_base_.load_pipeline,
            dict(type='ResizeImages', scale=_base_.image_scale, interpolation='bilinear'),
            dict(type='RigidPerturbation'),
            dict(type='PointsRangeFilter', point_cloud_range=_base_.point_cloud_range),
            dict(type='PackCalibrationInputs', keys=['points', 'img'], meta_keys=_base_.meta_keys),
        ],
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        ann_file='nuscenes_infos_train.pkl',
        indices=1,
        repeats=20,  # 20 seeded perturbations
    ),
)
test_dataloader = val_dataloader
