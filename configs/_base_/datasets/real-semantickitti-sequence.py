# 40 consecutive frames of one KITTI drive: train on frames 0-29, test on 34-39.
#   python tools/create_data.py semantickitti --split train=00:0-29 --split val=00:34-39
_base_ = ['./semantickitti-calib-160x512.py']

train_dataloader = dict(
    batch_size=1,
    num_workers=1,
    dataset=dict(repeats=20),  # an epoch of 600 samples, so that workers restart seldom
)
val_dataloader = dict(num_workers=1, dataset=dict(repeats=4))  # 4 perturbations a frame
test_dataloader = val_dataloader
