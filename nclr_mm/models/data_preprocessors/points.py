"""Points of a batch, checked."""

from __future__ import annotations

import torch
from torch import Tensor

#: Largest coordinate in metres. No LiDAR sees so far, float32 still resolves a millimetre there,
#: and voxels of 5 cm in such a cube are counted without overflow, of a hundred samples too.
MAX_COORDINATE = 1e4
#: Largest other value of a point. Intensities of 16 bits are below, times of day and rows of bytes
#: that were read as other columns are not.
MAX_FEATURE = 1e6


def check_points(points: list[Tensor]) -> Tensor:
    """Join the clouds of a batch.

    Args:
        points: B tensors (N_b, 3+F), x, y, z in metres first.

    Returns:
        (sum N_b, 3+F) float32.

    Raises:
        ValueError: if a value is not finite, a coordinate beyond ``MAX_COORDINATE`` or another
            value beyond ``MAX_FEATURE``.
    """
    joined = torch.cat(points).float()
    limits = _limits(joined)
    # NaN is not below the limit either.
    if (joined.abs() <= limits).all():
        return joined
    for what, wrong, remedy in (
        ('finite', lambda p: ~p.isfinite(), 'those whose coordinates are not'),
        (
            f'within {MAX_COORDINATE / 1000:.0f} km of the LiDAR, in metres',
            lambda p: p[:, :3].abs() > MAX_COORDINATE,
            'them',
        ),
    ):
        bad = [int(wrong(p).any(dim=1).sum()) for p in points]
        if any(bad):
            raise ValueError(
                f'Points must be {what}; the samples of this batch have {bad} that are not. '
                f'PointsRangeFilter in the pipeline drops {remedy}.'
            )
    bad = [int((p[:, 3:].abs() > MAX_FEATURE).any(dim=1).sum()) for p in points]
    raise ValueError(
        f'Intensities and other values of points must be at most {MAX_FEATURE:.0f}; the samples of '
        f'this batch have {bad} points with larger ones. Are load_dim and use_dim of the loader '
        'those of the file? ScalePointIntensity scales intensities.'
    )


def _limits(points: Tensor) -> Tensor:
    limits = points.new_full((points.shape[1],), MAX_FEATURE)
    limits[:3] = MAX_COORDINATE
    return limits
