# SECOND with 1 % of KITTI's training frames.
_base_ = ['./second_8xb6-80e_kitti-3d-3class.py']
train_dataloader = dict(dataset=dict(dataset=dict(fraction=0.01)))
