"""The deviation of a calibration over a drive, as curves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .curves import save_figure

__all__ = ['plot_deviations']

# (frame, value, 90 % bound), NaN where there is none.
Series = Sequence[tuple[float, float, float]]


def plot_deviations(
    cameras: Mapping[str, Mapping[str, tuple[Series, Series]]],
    limits: Mapping[str, float],
    path: str | os.PathLike,
) -> Path:
    """Draw deviations of cameras over the frames: frames as dots, windows as bars.

    Args:
        cameras: camera -> quantity, such as ``'rotation (deg)'``, -> values of the frames and of
            the windows, each (position, value, 90 % bound).
        limits: quantity -> what is let pass.
        path: picture to write.

    Returns:
        The path.
    """
    quantities = list(limits)
    figure = Figure(
        figsize=(5.5 * len(quantities), 2.6 * len(cameras)), dpi=110, layout='constrained'
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(cameras), len(quantities), squeeze=False)
    for row, (camera, values) in zip(grid, cameras.items()):
        for axes, quantity in zip(row, quantities):
            frames, windows = (np.array(series, dtype=float) for series in values[quantity])
            axes.plot(frames[:, 0], frames[:, 1], '.', color='tab:grey', label='a frame')
            axes.errorbar(
                windows[:, 0],
                windows[:, 1],
                yerr=np.nan_to_num(windows[:, 2]),
                marker='o',
                capsize=3,
                color='tab:blue',
                label='a window, ± its 90 % bound',
            )
            axes.axhline(limits[quantity], color='tab:red', linestyle='--', label='let pass')
            axes.set_ylim(bottom=0)
            axes.set_title(camera)
            axes.set_xlabel('frame')
            axes.set_ylabel(quantity)
            axes.grid(alpha=0.3)
    grid[0, 0].legend(fontsize='small')
    return save_figure(figure, path)
