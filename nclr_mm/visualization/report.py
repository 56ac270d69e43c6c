"""Tables and reports in Markdown."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

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
    """Write a text file at once: a reader sees the old file or the whole new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    partial.write_text(text, encoding='utf-8')
    os.replace(partial, path)
