"""The perspective-n-point problem, made well conditioned for the solver."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ['MIN_POINTS', 'PnPProblem', 'whiten']

# Three points have up to four poses and a fourth tells them apart, but of exact problems with four
# points in general position the closed-form starts miss one in ten. With five they miss none.
MIN_POINTS = 5

# Second over first standard deviation of the points, below which they count as collinear: the
# turn about their line is then not observable. float32 rounding of a true line gives about 1e-7.
MIN_FLATNESS = 1e-4

# Largest coordinate taken. Squares and products of four stay far inside float64.
MAX_COORDINATE = 1e9

# Weights below count as zero. Only ratios of weights matter, so gradients by weights grow as the
# weights fall, and they too must stay finite in float32.
MIN_WEIGHT = 1e-30


class PnPProblem(NamedTuple):
    """B problems in the principal axes of their points, everything float64.

    With `x = axes^T (X - centre) / scale` for a given point X, the weighted mean of x is zero and
    its weighted covariance is `diag(sigma^2)`, of trace one.

    Attributes:
        points: (B, P, 3) x; zero where a correspondence is left out.
        pixels: (B, P, 2) on the plane z = 1; zero where left out.
        weights: (B, P), of sum one; zero where left out.
        total: (B,) sum of the weights as given.
        axes: (B, 3, 3) proper rotation, principal axes in its columns, largest first.
        centre: (B, 3).
        scale: (B,) metres.
        sigma: (B, 3) standard deviations along the axes, in units of `scale`.
        usable: (B,) bool, false where no pose can be determined.
    """

    points: Tensor
    pixels: Tensor
    weights: Tensor
    total: Tensor
    axes: Tensor
    centre: Tensor
    scale: Tensor
    sigma: Tensor
    usable: Tensor


def whiten(points: Tensor, pixels: Tensor, weights: Tensor, mask: Tensor) -> PnPProblem:
    """Centre, turn and scale each problem, and find those that cannot be solved.

    Args:
        points: (B, P, 3).
        pixels: (B, P, 2).
        weights: (B, P).
        mask: (B, P) bool.

    Returns:
        The problem. Every value in it is finite, whatever the input.
    """
    points, pixels, weights = points.double(), pixels.double(), weights.double()
    # A NaN weight is kept here, so that it makes its problem unusable instead of vanishing.
    active = mask & ~(weights.abs() < MIN_WEIGHT)
    coordinates = torch.cat([points, pixels], dim=-1)
    sound = (coordinates.abs() <= MAX_COORDINATE).all(-1) & (weights > 0) & weights.isfinite()
    usable = (sound | ~active).all(-1) & (active.sum(-1) >= MIN_POINTS)

    active = active & usable.unsqueeze(-1)
    weights = torch.where(active, weights, 0.0)
    # Dividing by the largest first keeps the sum of tiny weights a normal number.
    largest = weights.amax(-1, keepdim=True) if weights.shape[1] else weights.sum(-1, keepdim=True)
    share = weights / torch.where(usable.unsqueeze(-1), largest, 1.0)
    share_sum = torch.where(usable, share.sum(-1), 1.0)
    total = share_sum * torch.where(usable, largest.squeeze(-1), 1.0)
    weights = share / share_sum.unsqueeze(-1)
    points = torch.where(active.unsqueeze(-1), points, 0.0)
    pixels = torch.where(active.unsqueeze(-1), pixels, 0.0)

    centre = (weights.unsqueeze(-1) * points).sum(-2)
    offset = torch.where(active.unsqueeze(-1), points - centre.unsqueeze(-2), 0.0)
    scale = (weights * offset.square().sum(-1)).sum(-1).sqrt()
    usable = usable & (scale > 0)
    scale = torch.where(usable, scale, 1.0)
    offset = offset / scale[:, None, None]
    variance, axes = torch.linalg.eigh(offset.mT @ (weights.unsqueeze(-1) * offset))
    sigma = variance.clamp(min=0).sqrt().flip(-1)
    first, second = axes[..., 2], axes[..., 1]
    axes = torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)
    usable = usable & (sigma[:, 1] > MIN_FLATNESS * sigma[:, 0])
    return PnPProblem(offset @ axes, pixels, weights, total, axes, centre, scale, sigma, usable)
