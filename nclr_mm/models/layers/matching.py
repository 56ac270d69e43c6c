"""Matching voxels with pixels."""

import torch
from torch import Tensor

from nclr_mm.geometry import full_precision


def pixel_grid(height: int, width: int, device: torch.device) -> Tensor:
    """Coordinates (h*w, 2) of the feature map's cells, u (column) then v (row), row by row."""
    v, u = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing='ij'
    )
    return torch.stack([u, v], dim=-1).reshape(-1, 2)


@full_precision
def soft_argmax(points: Tensor, pixels: Tensor, grid: Tensor, temperature: float) -> Tensor:
    """Expected pixel of each point over the whole map.

    Args:
        points: (N, K, C) embeddings.
        pixels: (N, h*w, C) embeddings.
        grid: (h*w, 2) coordinates of the pixels.
        temperature: softmax temperature (0.01 in the official settings).

    Returns:
        (N, K, 2) coordinates in the units of ``grid``, differentiable.
    """
    weights = torch.softmax(points @ pixels.transpose(-2, -1) / temperature, dim=-1)
    return weights @ grid.to(weights.dtype)


@full_precision
def nearest_pixels(
    points: Tensor, pixels: Tensor, mask: Tensor, chunk: int = 1024
) -> tuple[Tensor, Tensor, Tensor]:
    """Most similar pixel of each point, and whether the choice is mutual.

    The similarity matrix exists only for ``chunk`` points at a time.

    Args:
        points: (N, M, C) embeddings.
        pixels: (N, h*w, C) embeddings.
        mask: (N, M) bool, the points that take part.
        chunk: points handled at once.

    Returns:
        similarity (N, M), pixel (N, M) index, and mutual (N, M) bool: the point is, among those
        that take part, the most similar one of its pixel.
    """
    similarity, pixel = [], []
    best = points.new_full((len(points), pixels.shape[1]), -torch.inf)
    owner = torch.zeros(best.shape, dtype=torch.long, device=points.device)
    for start in range(0, points.shape[1], chunk):
        part = points[:, start : start + chunk] @ pixels.transpose(-2, -1)
        value, index = part.max(dim=-1)
        similarity.append(value)
        pixel.append(index)
        part = part.masked_fill(~mask[:, start : start + chunk, None], -torch.inf)
        value, index = part.max(dim=1)
        owner = torch.where(value > best, index + start, owner)
        best = torch.maximum(best, value)
    similarity, pixel = torch.cat(similarity, dim=1), torch.cat(pixel, dim=1)
    own = torch.arange(points.shape[1], device=points.device)
    mutual = mask & (owner.gather(1, pixel) == own)
    return similarity, pixel, mutual


@full_precision
def refine_pixels(
    points: Tensor,
    pixels: Tensor,
    pixel: Tensor,
    height: int,
    width: int,
    temperature: float,
    window: int,
) -> Tensor:
    """Soft-argmax in a window round the best pixel, for sub-cell accuracy.

    Args:
        points: (N, K, C) embeddings.
        pixels: (N, h*w, C) embeddings.
        pixel: (N, K) index of the best pixel.
        height: rows h of the map.
        width: columns w of the map.
        temperature: softmax temperature.
        window: odd edge length in cells; 1 keeps the best pixel.

    Returns:
        (N, K, 2) coordinates u, v in cells.
    """
    half = window // 2
    offset = pixel_grid(window, window, points.device) - half
    u = (pixel % width)[..., None] + offset[:, 0]
    v = (pixel // width)[..., None] + offset[:, 1]
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    flat = (v.clamp(0, height - 1) * width + u.clamp(0, width - 1)).flatten(1)
    neighbours = pixels.gather(1, flat[..., None].expand(-1, -1, pixels.shape[-1]))
    neighbours = neighbours.unflatten(1, u.shape[1:])
    logits = (neighbours * points[:, :, None]).sum(-1) / temperature
    weights = logits.masked_fill(~inside, -torch.inf).softmax(dim=-1)
    return torch.stack([(weights * u).sum(-1), (weights * v).sum(-1)], dim=-1)
