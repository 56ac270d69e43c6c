# Official pretraining of SPVCNN on SemanticKITTI.
_base_ = ['./nclr_minkunet18_w32_spconv_r50-dino_1xb4-50e_semantickitti.py']
model = dict(backbone=dict(type='CalibrationSPVCNN'))
