# A simulated drive in the nuScenes layout:
#   python tools/create_data.py simulation --out data/simulation --frames 200
#   python tools/create_data.py nuscenes --root-path data/simulation/nuscenes
_base_ = ['./nus-calib-224x416.py']
data_root = 'data/simulation/nuscenes/'

train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(data_root=data_root, ann_file='nuscenes_infos_train.pkl'),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(data_root=data_root, ann_file='nuscenes_infos_val.pkl'),
)
test_dataloader = val_dataloader
