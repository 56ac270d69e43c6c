"""How sure the pose of a rig is: error ellipsoids, and errors over the number of frames."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator
from scipy.stats import chi2

from .curves import save_figure

__all__ = ['ellipse', 'plot_frames', 'plot_rig']

_LEVELS = (0.5, 0.9, 0.99)


def ellipse(covariance: np.ndarray, level: float, points: int = 100) -> np.ndarray:
    """Outline (points, 2) of the area that holds a normal variable of two dimensions.

    Args:
        covariance: (2, 2).
        level: the probability, by chi^2 with two degrees of freedom.
        points: of the outline.
    """
    angle = np.linspace(0, 2 * np.pi, points)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    values, vectors = np.linalg.eigh(covariance)
    size = np.sqrt(np.maximum(values, 0) * chi2.ppf(level, 2))
    return circle * size @ vectors.T


def plot_rig(
    path: str | os.PathLike,
    covariance: np.ndarray,
    history: Sequence[tuple[int, np.ndarray]],
    errors: Sequence[np.ndarray | None] | None = None,
) -> Path:
    """Draw 50, 90 and 99 % ellipses of each two axes, and deviations over the number of frames.

    Args:
        path: the picture.
        covariance: (6, 6) of the rotation vector in radians and the translation in metres.
        history: number of frames, and covariance (6, 6) after them.
        errors: true errors xi (6,) of each entry of ``history``, where the truth is known.

    Returns:
        The path.
    """
    figure = Figure(figsize=(13, 12), layout='constrained')
    axes = figure.subplots(3, 3)
    last = None if not errors else errors[-1]
    for row, (unit, factor, name) in enumerate(
        (('deg', 180 / np.pi, 'rotation about'), ('m', 1.0, 'translation along'))
    ):
        for axis, pair in zip(axes[row], combinations(range(3), 2)):
            index = [3 * row + i for i in pair]
            part = covariance[np.ix_(index, index)] * factor**2
            if np.isfinite(part).all():
                for level in _LEVELS:
                    x, y = ellipse(part, level).T
                    axis.plot(x, y, label=f'{level:.0%}')
                axis.axis('equal')
            axis.plot(0, 0, '+', color='black')
            if last is not None:
                x, y = last[index] * factor
                axis.plot(x, y, 'x', color='red', label='truth')
            axis.set_xlabel(f'{name} {"xyz"[pair[0]]} ({unit})')
            axis.set_ylabel(f'{name} {"xyz"[pair[1]]} ({unit})')
    axes[0, 0].legend()
    numbers = [number for number, _ in history]
    for axis, part, unit, factor, name in (
        (axes[2, 0], slice(0, 3), 'deg', 180 / np.pi, 'rotation'),
        (axes[2, 1], slice(3, 6), 'm', 1.0, 'translation'),
    ):
        stated = [factor * np.sqrt(np.diag(c)[part].sum()) for _, c in history]
        axis.loglog(numbers, stated, 'o-', label='standard deviation, stated')
        if errors and all(error is not None for error in errors):
            true = [factor * np.linalg.norm(error[part]) for error in errors]
            axis.loglog(numbers, true, 'x--', color='red', label='true error')
        axis.set_xlabel('frames')
        _label_ticks(axis, numbers)
        axis.set_ylabel(f'{name} ({unit})')
        axis.grid(True, which='both', alpha=0.3)
        axis.legend()
    axes[2, 2].axis('off')
    return save_figure(figure, path)


def plot_frames(path: str | os.PathLike, errors: Mapping[int, tuple[float, float]]) -> Path:
    """Draw median errors, degrees and metres, over the number of frames of an estimate."""
    figure = Figure(figsize=(9, 4), layout='constrained')
    numbers = list(errors)
    for axis, values, name in zip(
        figure.subplots(1, 2), zip(*errors.values()), ('rotation (deg)', 'translation (m)')
    ):
        axis.loglog(numbers, values, 'o-', label='median error')
        axis.loglog(
            numbers, values[0] / np.sqrt(np.array(numbers) / numbers[0]), ':', label='root of n'
        )
        _label_ticks(axis, numbers)
        axis.set_xlabel('frames')
        axis.set_ylabel(name)
        axis.grid(True, which='both', alpha=0.3)
        axis.legend()
    return save_figure(figure, path)


def _label_ticks(axis: Axes, numbers: Sequence[int]) -> None:
    """Each number of frames along x; along y also what lies between powers of ten."""
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(numbers, map(str, numbers))
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FormatStrFormatter('%g'))
