# SECOND overfits the first three frames of KITTI's training set, trained and tested as they are.
#   python tools/create_data.py kitti
_base_ = ['./second_8xb6-80e_kitti-3d-3class.py']
iterations = 100
peak = 3e-3
frames = dict(ann_file='kitti_infos_trainval.pkl', indices=3)
# Without what varies them: sampled objects, noise, mirror images, rotation.
plain = ['LoadLidarPoints', 'LoadAnnotations3D', 'PointsRangeFilter', 'ObjectRangeFilter']
plain += ['PointShuffle', 'PackLidarInputs']
train_pipeline = [s for s in _base_.train_pipeline if s['type'] in plain]

# Statistics that keep up with 100 steps.
norm = dict(eps=1e-3, momentum=0.1)
model = dict(
    middle_encoder=dict(norm_cfg=dict(norm, type='BN1d')),
    backbone=dict(norm_cfg=dict(norm, type='BN')),
    neck=dict(norm_cfg=dict(norm, type='BN')),
)

# Statistics of one frame alone would change from step to step.
train_dataloader = dict(
    batch_size=3,
    num_workers=1,
    sampler=dict(type='SeededInfiniteSampler', shuffle=True),
    dataset=dict(times=1, dataset=dict(frames, pipeline=train_pipeline)),
)
val_dataloader = dict(dataset=frames)
test_dataloader = val_dataloader
# Each frame counts 41 times, for average precision needs 41 objects to reach 100.
val_evaluator = dict(ann_file='data/kitti/kitti_infos_trainval.pkl', indices=3, repeats=41)
test_evaluator = val_evaluator

# One cycle, as in the schedules of whole data sets.
optim_wrapper = dict(optimizer=dict(lr=peak / 10))
rise = int(0.4 * iterations)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=rise, eta_min=peak, end=rise, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        T_max=iterations - rise,
        eta_min=peak * 1e-4,
        begin=rise,
        end=iterations,
        by_epoch=False,
    ),
]
train_cfg = dict(_delete_=True, by_epoch=False, max_iters=iterations, val_interval=iterations)
default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=iterations),
)
log_processor = dict(by_epoch=False)
