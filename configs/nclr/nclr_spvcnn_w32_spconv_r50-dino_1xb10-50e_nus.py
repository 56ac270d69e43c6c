# Official pretraining of SPVCNN on nuScenes.
_base_ = ['./nclr_minkunet34_w32_spconv_r50-dino_1xb10-50e_nus.py']
model = dict(backbone=dict(type='CalibrationSPVCNN', encoder_blocks=[2, 2, 2, 2]))
