# Simulated streets in the KITTI layout, two frames each; every fifth street is held out.
#   python tools/create_data.py simulation --out data/streets --layout kitti \
#     --frames 480 --frames-per-scene 2 --seed 1 --workers 2
#   python tools/create_data.py kitti --root-path data/streets/kitti
_base_ = ['./kitti-calib-160x512.py']
data_root = 'data/streets/kitti/'

# Colours vary; crops and mirror images only slow a short training down.
train_pipeline = [
    *_base_.load_pipeline,
    dict(type='ResizeImages', scale=_base_.image_scale),
    dict(type='PhotoMetricJitter'),
    dict(type='RigidPerturbation'),
    *_base_.train_pipeline[-2:],
]
train_dataloader = dict(
    batch_size=1, num_workers=1, dataset=dict(data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
