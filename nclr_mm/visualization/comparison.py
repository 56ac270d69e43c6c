"""Pretrained against random: runs over label fractions and seeds, as a table and as a picture."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .curves import save_figure

__all__ = ['comparison_table', 'plot_comparison', 'summarise']

Runs = Mapping[tuple[str, float], Sequence[float]]


def summarise(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; the latter is NaN for a single value."""
    values = np.asarray(values, dtype=float)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float('nan')


def comparison_table(runs: Runs) -> str:
    """Write runs as a Markdown table, one row a label fraction.

    Args:
        runs: (start, fraction) -> values of the metric, one a seed, in the same order of seeds for
            each start. The gain is the mean of the differences to the first start, seed by seed.

    Returns:
        The table: mean ± standard deviation of each start in percent, and the gain of each of the
        others.
    """
    starts = list(dict.fromkeys(start for start, _ in runs))
    fractions = sorted({fraction for _, fraction in runs})
    titles = ['labels', *starts, *(f'gain of {start}' for start in starts[1:]), 'seeds']
    lines = [
        '| ' + ' | '.join(titles) + ' |',
        '| ' + ' | '.join(['---:'] * len(titles)) + ' |',
    ]
    for fraction in fractions:
        cells = [f'{100 * fraction:.4g} %']
        for start in starts:
            cells.append(_percent(*summarise(runs[start, fraction])))
        first = np.asarray(runs[starts[0], fraction])
        for start in starts[1:]:
            mean, deviation = summarise(np.asarray(runs[start, fraction]) - first)
            cells.append(_percent(mean, deviation, sign='+'))
        cells.append(str(len(first)))
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def _percent(mean: float, deviation: float, sign: str = '') -> str:
    text = f'{100 * mean:{sign}.1f}'
    return text if np.isnan(deviation) else f'{text} ± {100 * deviation:.1f}'


def plot_comparison(runs: Runs, path: str | os.PathLike, metric: str) -> Path:
    """Draw mean and standard deviation over the label fraction, one curve a start.

    Args:
        runs: as in :func:`comparison_table`.
        path: PNG file.
        metric: name on the axis.

    Returns:
        The path.
    """
    figure = Figure(figsize=(6, 4), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for start in dict.fromkeys(start for start, _ in runs):
        fractions = sorted(fraction for name, fraction in runs if name == start)
        means, deviations = np.array([summarise(runs[start, f]) for f in fractions]).T
        axes.errorbar(
            100 * np.array(fractions),
            100 * means,
            yerr=100 * np.nan_to_num(deviations),
            marker='o',
            capsize=3,
            label=start,
        )
    axes.set_xscale('log')
    fractions = sorted({100 * fraction for _, fraction in runs})
    axes.set_xticks(fractions, [f'{fraction:g}' for fraction in fractions])
    axes.minorticks_off()
    axes.set_xlabel('labelled frames (%)')
    axes.set_ylabel(f'{metric} (%)')
    axes.grid(alpha=0.3)
    axes.legend()
    return save_figure(figure, path)
