# Linear probing: the backbone frozen, batch norm too; one linear layer, at the 1e-2 which the
# schedule gives heads.
_base_ = ['./minkunet-small_spconv_voxel0p3_1xb1-400i_sim-streets.py']
model = dict(backbone=dict(frozen=True))
