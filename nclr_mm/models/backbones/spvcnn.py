"""SPVCNN for pretraining: a MinkUNet with a point branch."""

from collections.abc import Sequence

import torch
from mmdet3d.models.backbones import SPVCNNBackbone
from mmdet3d.models.layers.sparse_block import replace_feature
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from ..layers.point_voxel import PointVoxelExchange
from .minkunet import CalibrationMinkUNet, torchsparse_has_batch_first


def _point_transform(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_channels, out_channels), nn.BatchNorm1d(out_channels), nn.ReLU(True)
    )


@MODELS.register_module()
class CalibrationSPVCNN(CalibrationMinkUNet):
    """mmdet3d's ``SPVCNNBackbone``, on spconv (CPU and GPU) as well as on torchsparse.

    Its points are the voxels of stride 1. They keep features of their own, to which those of the
    voxels are added by trilinear interpolation after the stem, the encoder, the second and the
    last decoder stage; after the first three the voxels take the mean of their points back.
    Parameters have the names of mmdet3d's network.

    Args:
        drop_ratio: dropout of the voxels that were taken back from points.
        kwargs: arguments of :class:`CalibrationMinkUNet`; four stages, spconv or torchsparse.
    """

    def __init__(
        self,
        encoder_channels: Sequence[int] = (32, 64, 128, 256),
        decoder_channels: Sequence[int] = (256, 128, 96, 96),
        base_channels: int = 32,
        drop_ratio: float = 0.3,
        sparseconv_backend: str = 'spconv',
        **kwargs,
    ) -> None:
        if sparseconv_backend not in ('spconv', 'torchsparse'):
            raise ValueError(
                "SPVCNN needs sparseconv_backend 'spconv' or 'torchsparse', not "
                f'{sparseconv_backend!r}.'
            )
        super().__init__(
            encoder_channels=encoder_channels,
            decoder_channels=decoder_channels,
            base_channels=base_channels,
            sparseconv_backend=sparseconv_backend,
            **kwargs,
        )
        if sparseconv_backend == 'torchsparse' and torchsparse_has_batch_first():
            raise ValueError(
                'mmdet3d exchanges features of points and voxels in the order of coordinates that '
                'torchsparse had before version 2.1; use an older one, or '
                "sparseconv_backend='spconv'."
            )
        if self.num_stages != 4:
            raise ValueError(f'SPVCNN needs four stages, not {self.num_stages}.')
        self.point_transforms = nn.ModuleList(
            [
                _point_transform(base_channels, encoder_channels[-1]),
                _point_transform(encoder_channels[-1], decoder_channels[1]),
                _point_transform(decoder_channels[1], decoder_channels[3]),
            ]
        )
        self.dropout = nn.Dropout(drop_ratio)
        self._freeze()  # what was built here too

    def _forward_other(self, voxel_features: Tensor, coors: Tensor) -> Tensor:
        return SPVCNNBackbone.forward(self, voxel_features, coors)

    def _forward_spconv(self, voxel_features: Tensor, coors: Tensor) -> Tensor:
        x = self.conv_input(self._sparse_tensor(voxel_features, coors))
        points = x.features  # at stride 1 a point is its voxel
        laterals = [x]
        for encoder_layer in self.encoder:
            x = encoder_layer(x)
            laterals.append(x)

        exchange = PointVoxelExchange(coors, x.indices, 2**self.num_stages)
        points = exchange.to_points(x.features) + self.point_transforms[0](points)
        x = replace_feature(x, self.dropout(exchange.to_voxels(points)))

        for stage, (upsample, blocks) in enumerate(self.decoder):
            x = upsample(x)
            lateral = laterals[-2 - stage].features
            x = blocks(replace_feature(x, torch.cat((x.features, lateral), dim=1)))
            if stage == 1:
                exchange = PointVoxelExchange(coors, x.indices, 2 ** (self.num_stages - 2))
                points = exchange.to_points(x.features) + self.point_transforms[1](points)
                x = replace_feature(x, self.dropout(exchange.to_voxels(points)))
        return x.features + self.point_transforms[2](points)
