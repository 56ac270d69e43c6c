# Labelled simulated streets in the SemanticKITTI layout, see sim-streets.py: 19 classes.
_base_ = ['./semantickitti-seg.py']
data_root = 'data/streets/semantickitti/'
point_cloud_range = [-51.2, -51.2, -51.2, 51.2, 51.2, 51.2]

train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range),
    _base_.train_pipeline[-1],
]

train_dataloader = dict(
    num_workers=1,
    # Iterations go on over the few frames of a fraction without the pause between epochs.
    sampler=dict(type='SeededInfiniteSampler', shuffle=True),
    # Streets have two frames each: a fraction is one of streets.
    dataset=dict(data_root=data_root, protocol='scenes', pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
