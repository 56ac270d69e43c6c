"""Reading a bird's-eye-view map at points."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def read_bev(
    bev: Tensor,
    xyz: Tensor,
    counts: Sequence[int],
    point_cloud_range: Sequence[float],
    voxel_size: Sequence[float],
) -> Tensor:
    """Read a BEV map at points by bilinear interpolation.

    A strided sparse convolution (kernel 3, padding 1) puts its output cell o on input cell 2 o, so
    that after all of them cell o of the map lies on *voxel* ``stride * o``, its centre at
    ``range_min + (stride * o + 0.5) * voxel_size``; not in the middle of ``stride`` voxels.

    Args:
        bev: (B, C, H, W); columns run along x, rows along y.
        xyz: (N, 3) points in metres, those of each sample together.
        counts: points of each of the B samples.
        point_cloud_range: x, y, z of the lowest and x, y, z of the highest corner of the voxel
            grid in metres.
        voxel_size: edge lengths (x, y, z) of a voxel in metres.

    Returns:
        (N, C) features. Beyond the map's outermost centres its border is read.

    Raises:
        ValueError: if the grid's number of voxels is not the map's times one whole stride.
    """
    size = bev.shape[:1:-1]  # along x, along y
    corners, shares = [], []
    for axis, cells in enumerate(size):
        low, high = point_cloud_range[axis], point_cloud_range[axis + 3]
        voxels = round((high - low) / voxel_size[axis])
        stride, rest = divmod(voxels, cells)
        if rest or not stride:
            raise ValueError(
                f'A BEV map of {cells} cells along {"xy"[axis]} does not fit {voxels} voxels of '
                f'{voxel_size[axis]} m in point_cloud_range {list(point_cloud_range)}: choose a '
                "range of a multiple of the network's stride."
            )
        place = ((xyz[:, axis] - low) / voxel_size[axis] - 0.5) / stride
        place = place.clamp(0, cells - 1)
        before = place.long()
        after = (before + 1).clamp(max=cells - 1)
        share = place - before
        corners.append(torch.stack([before, after], 1))
        shares.append(torch.stack([1 - share, share], 1))
    # repeat_interleave would wait for the device, to see how long its result is.
    sample = torch.cat([torch.full((n,), b, device=xyz.device) for b, n in enumerate(counts)])
    rows = sample[:, None, None] * size[1] + corners[1][:, :, None]
    places = rows * size[0] + corners[0][:, None]  # (N, 2, 2)
    weights = shares[1][:, :, None] * shares[0][:, None]
    # Positions are read in float32 also under autocast. Whole rows of channels are read, where
    # grid_sample would read each channel far from the next one.
    table = bev.float().permute(0, 2, 3, 1).flatten(0, 2)
    return F.embedding_bag(
        places.flatten(1), table, mode='sum', per_sample_weights=weights.flatten(1).to(table.dtype)
    )
