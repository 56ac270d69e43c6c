"""Which pixels are hit by points, and which points are hidden behind nearer ones."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .camera import in_image
from .precision import full_precision
from .rigid import _check_vectors

__all__ = ['occlusion_mask', 'pixel_occupancy']


def _pixel_index(uv: Tensor, inside: Tensor, height: int, width: int) -> Tensor:
    """Row-major index of the pixel of each point, `height * width` for points outside."""
    _check_vectors(uv, 2, 'uv')
    if uv.shape[:-1] != inside.shape:
        raise ValueError(
            f'inside must have the shape of uv without its last dimension, '
            f'{tuple(uv.shape[:-1])}, got {tuple(inside.shape)}.'
        )
    inside = inside & in_image(uv, torch.ones_like(uv[..., 0]), height, width)
    # Values outside may be anything, NaN too, so they are replaced before they become integers.
    column, row = torch.where(inside.unsqueeze(-1), uv + 0.5, 0.0).long().unbind(-1)
    # u + 0.5 may round up to W for the last float below W - 0.5.
    index = row.clamp(max=height - 1) * width + column.clamp(max=width - 1)
    return torch.where(inside, index, height * width)


@torch.no_grad()
@full_precision
def pixel_occupancy(uv: Tensor, inside: Tensor, height: int, width: int) -> Tensor:
    """Tell which pixels have at least one point on them.

    Args:
        uv: (..., N, 2) in pixels of the map, pixel centres at integers.
        inside: (..., N) bool, the points that count. A point off the map never counts.
        height: map height h.
        width: map width w.

    Returns:
        (..., h, w) bool.

    Raises:
        ValueError: if a shape does not fit.

    Example:
        >>> uv = torch.tensor([[0.4, 1.2], [9.0, 9.0]])
        >>> pixel_occupancy(uv, torch.tensor([True, True]), height=2, width=3)
        tensor([[False, False, False],
                [ True, False, False]])
    """
    index = _pixel_index(uv, inside, height, width)
    # One cell more than pixels takes the points outside.
    hit = torch.zeros(*index.shape[:-1], height * width + 1, dtype=torch.bool, device=uv.device)
    hit.scatter_(-1, index, True)
    return hit[..., :-1].unflatten(-1, (height, width))


@torch.no_grad()
@full_precision
def occlusion_mask(
    uv: Tensor,
    depth: Tensor,
    inside: Tensor,
    height: int,
    width: int,
    radius: int = 1,
    rel_tolerance: float = 0.05,
    abs_tolerance: float = 0.2,
) -> Tensor:
    """Mark points hidden behind nearer surfaces, with a depth buffer made of the points alone.

    A point is hidden when `depth > z * (1 + rel_tolerance) + abs_tolerance`, where z is the
    smallest depth of all points in the square of `2 radius + 1` pixels round its pixel. The square
    closes the gaps between the scan lines of a LiDAR; the tolerances keep slanted surfaces, which
    have some depth inside one square.

    Args:
        uv: (..., N, 2) in pixels of the map, pixel centres at integers.
        depth: (..., N) metres.
        inside: (..., N) bool, the points that count. A point off the map never counts.
        height: map height h.
        width: map width w.
        radius: half the width of the square, in pixels of the map, 0 or more.
        rel_tolerance: part of the nearest depth.
        abs_tolerance: metres.

    Returns:
        (..., N) bool; False for points that do not count.

    Raises:
        ValueError: if a shape does not fit or `radius` is negative.

    Example:
        >>> uv = torch.zeros(3, 2)
        >>> depth = torch.tensor([5.0, 5.1, 20.0])
        >>> occlusion_mask(uv, depth, torch.ones(3, dtype=torch.bool), height=4, width=4)
        tensor([False, False,  True])
    """
    if radius < 0:
        raise ValueError(f'radius must be 0 or more, got {radius}.')
    index = _pixel_index(uv, inside, height, width)
    if depth.shape != index.shape:
        raise ValueError(f'depth must have shape {tuple(index.shape)}, got {tuple(depth.shape)}.')
    counts = index < height * width
    lead = index.shape[:-1]
    nearest = depth.new_full((*lead, height * width + 1), torch.inf)
    nearest.scatter_reduce_(-1, index, torch.where(counts, depth, torch.inf), reduce='amin')
    grid = nearest[..., :-1].reshape(-1, 1, height, width)
    # The pooling pads with -inf, so negated depths ignore what lies off the map.
    grid = -F.max_pool2d(-grid, 2 * radius + 1, stride=1, padding=radius)
    nearest = grid.reshape(*lead, height * width)
    at_point = nearest.gather(-1, index.clamp(max=height * width - 1))
    return counts & (depth > at_point * (1 + rel_tolerance) + abs_tolerance)
