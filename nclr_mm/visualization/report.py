"""Tables and reports in Markdown."""

import os
from collections.abc import Mapping, Sequence

from nclr_mm.writing import write_whole

__all__ = ['metric_table', 'write_text']


def metric_table(columns: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> str:
    """Write metrics of several runs as one Markdown table.

    Args:
        columns: title -> metrics of a run, by name.
        names: metrics to show, in this order; one that a run lacks stays empty.

    Returns:
        The table, one line a metric.

    Example:
        >>> print(metric_table({'before': {'x': 1.0}, 'after': {'x': 0.25}}, ['x']))
        | metric | before | after |
        | --- | ---: | ---: |
        | x | 1.000 | 0.250 |
    """
    lines = [
        '| ' + ' | '.join(['metric', *columns]) + ' |',
        '| ' + ' | '.join(['---', *['---:'] * len(columns)]) + ' |',
    ]
    for name in names:
        cells = [f'{run[name]:.3f}' if name in run else '' for run in columns.values()]
        lines.append('| ' + ' | '.join([name, *cells]) + ' |')
    return '\n'.join(lines)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file at once, in UTF-8; see :func:`nclr_mm.writing.write_whole`."""
    write_whole(path, text.encode())
