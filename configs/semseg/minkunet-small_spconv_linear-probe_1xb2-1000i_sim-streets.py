# Linear probing on simulated streets.
_base_ = ['./minkunet-small_spconv_1xb2-1000i_sim-streets.py']
model = dict(backbone=dict(frozen=True))
# A linear layer alone stands a higher rate, and has few iterations to get anywhere.
optim_wrapper = dict(optimizer=dict(lr=1e-2))
