"""Exchange of features between points and voxels of any stride, for SPVCNN."""

import torch
from torch import Tensor


class PointVoxelExchange:
    """Where the points of a batch lie among the voxels of one stride.

    What torchsparse's ``voxel_to_point`` and ``point_to_voxel`` do in SPVNAS
    (github.com/mit-han-lab/spvnas), in plain torch: on CPUs too, and for any sparse library.

    Args:
        points: (N, 4) int [batch, x, y, z], positions in voxels of stride 1, not negative.
        voxels: (M, 4) int [batch, x, y, z], voxels in units of the stride, each once. Each point's
            own voxel is among them.
        stride: edge length of the voxels.
    """

    def __init__(self, points: Tensor, voxels: Tensor, stride: int) -> None:
        points, voxels = points.long(), voxels.long()
        position = points[:, 1:].double() / stride
        base = position.floor().long()
        corners = torch.cartesian_prod(*(torch.arange(2, device=points.device),) * 3)
        # Beyond the last voxel there is none: one cell more on each side keeps keys apart.
        extent = torch.maximum(base.amax(dim=0), voxels[:, 1:].amax(dim=0)) + 2

        def key(batch: Tensor, cell: Tensor) -> Tensor:
            x, y, z = cell.unbind(-1)
            return ((batch * extent[0] + x) * extent[1] + y) * extent[2] + z

        keys, order = key(voxels[:, 0], voxels[:, 1:]).sort()
        wanted = key(points[:, :1], base[:, None] + corners)
        place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        found = keys[place] == wanted
        share = (position - base)[:, None]
        weights = torch.where(corners.bool(), share, 1 - share).prod(dim=-1) * found
        self.index = order[place]
        self.weights = (weights / weights.sum(dim=1, keepdim=True)).float()
        self.own = self.index[:, 0]
        # bincount would wait for the device.
        counts = torch.zeros(len(voxels), dtype=torch.long, device=voxels.device)
        self.counts = counts.index_add(0, self.own, torch.ones_like(self.own)).clamp(min=1)

    def to_points(self, features: Tensor) -> Tensor:
        """Interpolate voxel features (M, C) trilinearly at the points: (N, C).

        Voxels that do not exist take no part; the weights of the others sum to 1.
        """
        return torch.einsum('nkc,nk->nc', features[self.index], self.weights.to(features.dtype))

    def to_voxels(self, features: Tensor) -> Tensor:
        """Average point features (N, C) over the points in each voxel: (M, C)."""
        sums = features.new_zeros((len(self.counts), features.shape[1]))
        sums = sums.index_add(0, self.own, features)
        return sums / self.counts[:, None].to(features.dtype)
