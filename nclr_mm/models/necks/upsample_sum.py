"""Image neck: maps of several strides to one map."""

from collections.abc import Sequence

from mmdet3d.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F


@MODELS.register_module()
class UpsampleSum(BaseModule):
    """Bring each map to ``out_channels`` by a 1x1 convolution, upsample bilinearly, and sum.

    With one level of stride 32 and 2048 channels this is the official image branch (1x1
    convolution to 64 channels, then bilinear x8). Frozen features that are only mixed linearly
    leave all of the alignment to the LiDAR branch; with ``num_blocks`` the image side learns too.

    Args:
        in_channels: channels of each input map.
        in_strides: stride of each input map.
        out_channels: channels C of the result.
        out_stride: stride of the result.
        num_blocks: residual blocks of two 3x3 convolutions after the sum; 0 is the official form.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        out_channels: int = 64,
        out_stride: int = 4,
        num_blocks: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(in_channels) != len(in_strides) or not in_channels:
            raise ValueError(
                f'in_channels {list(in_channels)} and in_strides {list(in_strides)} must name the '
                'same levels.'
            )
        if any(stride % out_stride for stride in in_strides):
            raise ValueError(
                f'in_strides {list(in_strides)} must be multiples of out_stride {out_stride}.'
            )
        self.factors = [stride // out_stride for stride in in_strides]
        self.laterals = nn.ModuleList(nn.Conv2d(c, out_channels, 1) for c in in_channels)
        self.blocks = nn.ModuleList(self._block(out_channels) for _ in range(num_blocks))
        self.out_channels = out_channels

    @staticmethod
    def _block(channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuse the maps.

        Args:
            maps: one (N, in_channels[i], H/in_strides[i], W/in_strides[i]) each level.

        Returns:
            (N, C, H/out_stride, W/out_stride).
        """
        outs = [
            F.interpolate(conv(x), scale_factor=f, mode='bilinear') if f > 1 else conv(x)
            for conv, x, f in zip(self.laterals, maps, self.factors, strict=True)
        ]
        out = sum(outs[1:], outs[0])
        for block in self.blocks:
            out = out + block(out)
        return out
