# All labels of nuScenes-lidarseg on SPVCNN.
_base_ = ['./minkunet34_w32_spconv_1xb8-30e_nus600-100pct.py']
model = dict(backbone=dict(type='CalibrationSPVCNN', encoder_blocks=[2, 2, 2, 2]))
