"""Voxelisation with torch alone, on whatever device the points are on."""

import torch
from torch import Tensor


def count_per_sample(batch_index: Tensor, batch_size: int) -> Tensor:
    """Number of elements (B,) int64 of each sample, from the sample (N,) of each element.

    ``torch.bincount`` would wait for the device, to see how many numbers there are.
    """
    counts = torch.zeros(batch_size, dtype=torch.long, device=batch_index.device)
    return counts.index_add_(0, batch_index, torch.ones_like(batch_index, dtype=torch.long))


def draw_per_sample(batch_index: Tensor, batch_size: int, number: int) -> Tensor:
    """Draw at most ``number`` elements of each sample, without replacement.

    Args:
        batch_index: (N,) sample of each element, ascending.
        batch_size: number of samples.
        number: elements to keep a sample.

    Returns:
        (K,) indices into the elements, ascending.
    """
    batch_index = batch_index.long()
    shuffled = torch.randperm(len(batch_index), device=batch_index.device)
    shuffled = shuffled[batch_index[shuffled].argsort(stable=True)]
    counts = count_per_sample(batch_index, batch_size)
    rank = torch.arange(len(batch_index), device=batch_index.device)
    rank = rank - (counts.cumsum(0) - counts)[batch_index]
    return shuffled[rank < number].sort().values


def voxelize(
    points: Tensor, batch_index: Tensor, voxel_size: Tensor, batch_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantise the points of a batch and average those that share a voxel.

    Args:
        points: (N, 3+F) points, x, y, z in metres first.
        batch_index: (N,) sample of each point.
        voxel_size: (3,) edge lengths in metres.
        batch_size: number of samples, including empty ones.

    Returns:
        features (Nv, 3+F) means over the points of a voxel (x, y, z included), coors (Nv, 4)
        int32 [batch, x, y, z] counted from the lowest occupied voxel of each sample, and
        point2voxel (N,) the voxel of each point. Voxels are ordered by sample.
    """
    if len(points) == 0:
        empty = torch.zeros(0, dtype=torch.long, device=points.device)
        return points, torch.zeros((0, 4), dtype=torch.int32, device=points.device), empty
    cells = torch.floor(points[:, :3] / voxel_size).long()
    index = batch_index[:, None].expand(-1, 3)
    lowest = cells.new_zeros((batch_size, 3)).scatter_reduce(
        0, index, cells, 'amin', include_self=False
    )
    cells = cells - lowest[batch_index]
    extent = cells.amax(dim=0) + 1
    key = ((batch_index * extent[0] + cells[:, 0]) * extent[1] + cells[:, 1]) * extent[2]
    key, point2voxel, counts = torch.unique(
        key + cells[:, 2], return_inverse=True, return_counts=True
    )
    features = points.new_zeros((len(key), points.shape[1])).index_add_(0, point2voxel, points)
    features = features / counts[:, None].to(points.dtype)
    coors = torch.stack(
        [
            key // (extent[0] * extent[1] * extent[2]),
            key // (extent[1] * extent[2]) % extent[0],
            key // extent[2] % extent[1],
            key % extent[2],
        ],
        dim=1,
    )
    return features, coors.int(), point2voxel
