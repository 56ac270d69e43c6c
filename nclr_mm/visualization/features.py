"""Colours for features."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA

__all__ = ['feature_colors']


def feature_colors(*features: np.ndarray) -> list[np.ndarray]:
    """Give features colours, like features like colours, in all sets alike.

    The three main directions of all features together (principal components) are red, green and
    blue; the lowest and the highest 2 % along each are cut off.

    Args:
        features: sets of features (..., C) of the same C, at least 3; together at least three.

    Returns:
        For each set its colours (..., 3), uint8 RGB.

    Raises:
        ValueError: if the sets differ in C, or are too few or too narrow.
    """
    rows = [np.asarray(x, dtype=np.float64).reshape(-1, np.shape(x)[-1]) for x in features]
    channels = {row.shape[1] for row in rows}
    number = sum(len(row) for row in rows)
    if len(channels) != 1 or min(channels) < 3 or number < 3:
        raise ValueError(
            'features must be sets of the same number of channels, at least 3, with at least 3 '
            f'features together; got {[np.shape(x) for x in features]}.'
        )
    values = PCA(3, svd_solver='full').fit_transform(np.concatenate(rows))
    # The sign of a component is free: make the larger tail bright, so that pictures compare.
    values *= np.where((values**3).sum(axis=0) < 0, -1, 1)
    low, high = np.percentile(values, [2, 98], axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1)
    colors = np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    parts = np.split(colors, np.cumsum([len(row) for row in rows])[:-1])
    return [part.reshape(*np.shape(x)[:-1], 3) for part, x in zip(parts, features)]
