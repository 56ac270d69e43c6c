"""How cost grows with work, as curves of logarithmic axes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .curves import save_figure

__all__ = ['plot_growth']


def plot_growth(series: Mapping[str, Mapping], path: str | os.PathLike) -> Path:
    """Draw cost over work; a straight dashed line is linear growth from the first value.

    Args:
        series: what grows -> ``sizes`` and, each as long, costs by name, such as ``seconds``;
            ``exponents`` of the costs.
        path: picture to write.

    Returns:
        The path.
    """
    costs = list(next(iter(series.values()))['exponents'])
    figure = Figure(figsize=(3.4 * len(series), 3 * len(costs)), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(costs), len(series), squeeze=False)
    for row, cost in zip(grid, costs):
        for axes, (name, values) in zip(row, series.items()):
            sizes, exponent = values['sizes'], values['exponents'][cost]
            axes.loglog(sizes, values[cost], 'o-', label=f'measured, exponent {exponent:.2f}')
            linear = [values[cost][0] * size / sizes[0] for size in sizes]
            axes.loglog(sizes, linear, '--', color='tab:grey', label='linear')
            axes.set_xlabel(name)
            axes.set_ylabel(cost)
            axes.legend(fontsize='small')
    return save_figure(figure, path)
