# Many simulated streets in the SemanticKITTI layout, one camera, two frames of each street: every
# fifth street is held out. Streets of their own are what a network needs to learn to calibrate on
# streets that it has not seen.
#   python tools/create_data.py simulation --out data/streets --layout semantickitti \
#     --frames 480 --frames-per-scene 2 --seed 1 --workers 2
#   python tools/create_data.py semantickitti --root-path data/streets/semantickitti
_base_ = ['./semantickitti-calib-160x512.py']
data_root = 'data/streets/semantickitti/'

# Colours vary; crops and mirror images only slow a training of an hour down.
train_pipeline = [
    *_base_.load_pipeline,
    dict(type='ResizeImages', scale=_base_.image_scale),
    dict(type='PhotoMetricJitter'),
    dict(type='RigidPerturbation'),
    *_base_.train_pipeline[-2:],
]
train_dataloader = dict(
    batch_size=1,
    num_workers=1,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
