# PV-RCNN with 10 % of KITTI's training frames.
_base_ = ['./pv-rcnn_8xb2-80e_kitti-3d-3class.py']
train_dataloader = dict(dataset=dict(dataset=dict(fraction=0.1)))
