"""Offsets from the voxels of an object to its centre."""

import torch
from mmdet3d.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..losses.averaging import batch_mean


@MODELS.register_module()
class OffsetHead(BaseModule):
    """Predict for each voxel the way to the centre of its object, in metres.

    Objects then are clumps of the shifted voxels, as in MinkowskiPanoptic (github.com/PRBonn).

    Args:
        channels: channels of the voxel features.
        loss_weight: weight of the L1 loss.
    """

    def __init__(self, channels: int, loss_weight: float = 1.0, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.loss_weight = loss_weight
        self.layers = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 3)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Offsets (Nv, 3) of voxel features (Nv, channels)."""
        return self.layers(features)

    def loss(self, features: Tensor, batch_data_samples: list) -> dict[str, Tensor]:
        """L1 distance to the true offsets, the mean over the voxels of objects; zero without any.

        In distributed training it is that over the voxels of all processes.

        Args:
            features: (Nv, channels) voxel features of the batch.
            batch_data_samples: samples with ``gt_pts_seg.voxel_offset`` (M, 3), NaN for voxels of
                no object.
        """
        target = torch.cat([sample.gt_pts_seg.voxel_offset for sample in batch_data_samples])
        offsets = self(features)
        known = target.isfinite().all(dim=1)
        distance = (offsets - target.nan_to_num()).abs().sum(dim=1)
        return dict(loss_offset=self.loss_weight * batch_mean(distance, known))
