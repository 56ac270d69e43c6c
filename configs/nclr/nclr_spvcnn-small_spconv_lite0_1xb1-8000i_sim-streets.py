# Many simulated streets, the small MinkUNet with a branch of points beside it.
_base_ = ['./nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py']
model = dict(backbone=dict(type='CalibrationSPVCNN'))
