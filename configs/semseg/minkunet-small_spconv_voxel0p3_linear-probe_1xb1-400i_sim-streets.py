# Linear probing: the backbone frozen, batch norm too; one linear layer.
_base_ = ['./minkunet-small_spconv_voxel0p3_1xb1-400i_sim-streets.py']
model = dict(backbone=dict(frozen=True))
# A linear layer alone stands a higher rate, and has few iterations to get anywhere.
optim_wrapper = dict(optimizer=dict(lr=1e-2))
