# A small PV-RCNN on simulated streets, for CPUs; load_from=CHECKPOINT starts from pretraining.
_base_ = [
    '../_base_/models/pv-rcnn-small_kitti.py',
    '../_base_/datasets/sim-kitti-3d-3class.py',
    '../_base_/schedules/detection-600i.py',
    '../_base_/iter_runtime.py',
]

# load_from must fill all that NCLR pretrains.
pretrained = ['voxel_encoder', 'middle_encoder', 'backbone', 'neck']
default_hooks = dict(loaded_weights=dict(modules=pretrained))
