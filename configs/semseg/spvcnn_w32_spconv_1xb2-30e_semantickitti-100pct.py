# All labels of SemanticKITTI on SPVCNN.
_base_ = ['./minkunet18_w32_spconv_1xb2-30e_semantickitti-100pct.py']
model = dict(backbone=dict(type='CalibrationSPVCNN'))
