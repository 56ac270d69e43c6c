# KITTI object detection for NCLR, colour camera 2, as on SemanticKITTI.
_base_ = ['./semantickitti-calib-160x512.py']
dataset_type = 'KittiCalibrationDataset'
data_root = 'data/kitti/'
train_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, ann_file='kitti_infos_train.pkl')
)
val_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, ann_file='kitti_infos_val.pkl')
)
test_dataloader = val_dataloader
