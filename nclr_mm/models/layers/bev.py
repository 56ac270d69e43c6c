"""Reading a bird's-eye-view map at points."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence


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
    places = []
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
        places.append(((xyz[:, axis] - low) / voxel_size[axis] - 0.5) / stride)
    height, width = bev.shape[-2:]
    grid = xyz.new_zeros((len(xyz), 2))
    grid[:, 0] = 2 * places[0] / max(width - 1, 1) - 1
    grid[:, 1] = 2 * places[1] / max(height - 1, 1) - 1
    counts = list(counts)
    padded = pad_sequence(grid.split(counts), batch_first=True)
    # Positions are read in float32 also under autocast.
    features = F.grid_sample(
        bev.float(), padded[:, None], mode='bilinear', padding_mode='border', align_corners=True
    )
    features = features[:, :, 0].transpose(1, 2)
    present = pad_sequence([g.new_ones(len(g)).bool() for g in grid.split(counts)], True)
    return features[present]
