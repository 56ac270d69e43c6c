# Linear probing: the backbone frozen, batch norm too; one linear layer.
_base_ = ['./minkunet18_w32_spconv_1xb2-50e_semantickitti-50pct.py']
model = dict(backbone=dict(frozen=True))
train_dataloader = dict(dataset=dict(fraction=1.0))
