# The form of the official release: no LTA, nearest pixels.
_base_ = ['./nclr_minkunet34_w32_spconv_r50-dino_1xb10-50e_nus.py']

model = dict(calib_head=dict(alignment=dict(type='CosineAlignment'), pixel_sampling='nearest'))
