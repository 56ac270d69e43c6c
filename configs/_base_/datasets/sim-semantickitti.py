# A simulated drive in the SemanticKITTI layout, one camera: frames of one street to train on, its
# next frames and another street to test on.
#   python tools/create_data.py simulation --out data/demo --layout semantickitti \
#     --frames 60 --scenes 2
#   python tools/create_data.py semantickitti --root-path data/demo/semantickitti \
#     --split train=00:0-23 --split heldout=00:24-29 --split val=01:0-5
_base_ = ['./semantickitti-calib-160x512.py']
data_root = 'data/demo/semantickitti/'

# No image augmentation, which a short training has no time to gain from.
train_pipeline = [
    *_base_.load_pipeline,
    dict(type='ResizeImages', scale=_base_.image_scale),
    dict(type='RigidPerturbation'),
    *_base_.train_pipeline[-2:],
]
train_dataloader = dict(
    batch_size=1,
    num_workers=1,
    # An epoch of 480 samples, so that workers restart seldom.
    dataset=dict(data_root=data_root, repeats=20, pipeline=train_pipeline),
)
# 4 perturbations a frame.
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root, repeats=4))
test_dataloader = val_dataloader
