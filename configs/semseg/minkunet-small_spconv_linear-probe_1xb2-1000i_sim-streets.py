# Linear probing on simulated streets.
_base_ = ['./minkunet-small_spconv_1xb2-1000i_sim-streets.py']
model = dict(backbone=dict(frozen=True))
