"""How cost grows with work, as curves of logarithmic axes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from .curves import save_figure

__all__ = ['plot_growth']


def plot_growth(series: Mapping[str, Mapping[str, Mapping]], path: str | os.PathLike) -> Path:
    """Draw cost over work; a straight dashed line is linear growth from the first value.

    Args:
        series: what grows -> cost, such as ``seconds`` -> ``work``, what the sizes are of,
            ``sizes``, ``values``, as many, and ``exponent``.
        path: picture to write.

    Returns:
        The path.
    """
    costs = list(next(iter(series.values())))
    figure = Figure(figsize=(3.4 * len(series), 3 * len(costs)), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(costs), len(series), squeeze=False)
    for row, cost in zip(grid, costs):
        for axes, curves in zip(row, series.values()):
            curve = curves[cost]
            sizes, values = curve['sizes'], curve['values']
            axes.loglog(sizes, values, 'o-', label=f'measured, exponent {curve["exponent"]:.2f}')
            linear = [values[0] * size / sizes[0] for size in sizes]
            axes.loglog(sizes, linear, '--', color='tab:grey', label='linear')
            # The sizes themselves as ticks: between powers of ten there may be no other.
            ticks = _apart(sizes)
            axes.set_xticks(ticks, [_short(size) for size in ticks], fontsize='small')
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
            axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: _short(value)))
            axes.yaxis.get_minor_locator().set_params(subs=(2, 5))
            axes.tick_params(axis='both', which='both', labelsize='small')
            axes.set_xlabel(curve['work'])
            axes.set_ylabel(cost)
            axes.legend(fontsize='small')
    return save_figure(figure, path)


def _apart(sizes: Sequence[float], share: float = 0.1) -> list[float]:
    """Ascending sizes that lie apart by so much of a logarithmic axis, so that labels fit."""
    least = share * math.log(sizes[-1] / sizes[0])
    kept = [sizes[0]]
    for size in sizes[1:]:
        if math.log(size / kept[-1]) >= least:
            kept.append(size)
    return kept


def _short(value: float) -> str:
    """A number in few signs, such as 64k or 0.5."""
    units = ((1e9, 'G'), (1e6, 'M'), (1e3, 'k'))
    limit, unit = next((pair for pair in units if value >= pair[0]), (1, ''))
    value /= limit
    return (f'{value:.0f}' if value >= 10 else f'{value:.2g}') + unit
