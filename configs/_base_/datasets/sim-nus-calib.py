# A simulated drive in the nuScenes layout:
#   python tools/create_data.py simulation --out data/simulation --frames 200
#   python tools/create_data.py nuscenes --root-path data/simulation/nuscenes
_base_ = ['./nus-calib-224x416.py']
data_root = 'data/simulation/nuscenes/'

# Simulated images are 640x360 and are decoded at full size.
load_pipeline = [*_base_.load_pipeline[:-1], dict(type='LoadCalibratedImages')]
# Colours vary; crops and mirror images only slow a short training down.
train_pipeline = [
    *load_pipeline,
    dict(type='ResizeImages', scale=_base_.image_scale),
    dict(type='PhotoMetricJitter'),
    *_base_.train_pipeline[-3:],
]
test_pipeline = [*load_pipeline, *_base_.test_pipeline[len(load_pipeline) :]]

train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(data_root=data_root, ann_file='nuscenes_infos_train.pkl', pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(data_root=data_root, ann_file='nuscenes_infos_val.pkl', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
