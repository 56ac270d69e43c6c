"""Curves of what training logged."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nclr_mm.writing import write_whole

__all__ = ['newest_test', 'plot_curves', 'read_run', 'read_scalars', 'save_figure', 'smooth']

Scalars = dict[str, tuple[np.ndarray, np.ndarray]]

# What mmengine logs about the run itself.
_COUNTERS = ('step', 'iter', 'epoch', 'time', 'data_time', 'memory', 'base_lr')


def read_scalars(path: str | os.PathLike) -> Scalars:
    """Read what mmengine's ``LocalVisBackend`` wrote to ``vis_data/scalars.json``.

    Args:
        path: the file, one JSON object a line. A last line that is cut off (training is still
            writing, or was killed) is left out.

    Returns:
        Name -> (steps, values), both (N,) float, in the order of the file. Steps are iterations,
        or epochs for what an epoch-based loop validates. Counters and times are left out.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line is no JSON object.
    """
    return _scalars(_read_rows(Path(path)))


def read_run(work_dir: str | os.PathLike) -> tuple[Scalars, Scalars]:
    """Read all that a run logged, over interruptions.

    Args:
        work_dir: of the run; each start of it left ``<time>/vis_data/scalars.json``. What an
            earlier start logged from the first step of a later one on is left out.

    Returns:
        Scalars of training, and of validation, both as of :func:`read_scalars`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if one is damaged.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(
            f'{work_dir} holds no log of a run; expected <time>/vis_data/scalars.json.'
        )
    # Only training logs a learning rate, with each of its rows.
    training: list[dict] = []
    validation: list[dict] = []
    for path in files:
        part = _read_rows(path)
        for kind, kept in ((True, training), (False, validation)):
            # An epoch-based loop counts validations in epochs, and training in iterations.
            new = [row for row in part if ('lr' in row) == kind]
            begin = min((row['step'] for row in new), default=math.inf)
            kept[:] = [row for row in kept if row['step'] < begin] + new
    return _scalars(training), _scalars(validation)


def newest_test(work_dir: str | os.PathLike) -> dict[str, float]:
    """Metrics of the last test in a work directory; none without one.

    mmengine's LoggerHook writes them to ``<time>/<time>.json``.

    Raises:
        ValueError: if the file is damaged.
    """
    files = [p for p in Path(work_dir).glob('*/*.json') if p.stem == p.parent.name]
    if not files:
        return {}
    path = max(files, key=lambda p: p.stat().st_mtime)
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is not valid JSON ({error}).') from error
    return {
        name: value
        for name, value in content.items()
        if name not in _COUNTERS and isinstance(value, int | float)
    }


def _read_rows(path: Path) -> list[dict]:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; expected mmengine's vis_data/scalars.json."
        )
    rows = []
    lines = path.read_text().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == len(lines) and not line.endswith('\n')):
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f'{path}, line {number}: not a JSON object ({error}).') from error
        if not isinstance(entry, dict):
            raise ValueError(f'{path}, line {number}: expected a JSON object, got {line.strip()}.')
        entry.setdefault('step', number)
        rows.append(entry)
    return rows


def _scalars(rows: Sequence[dict]) -> Scalars:
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in _COUNTERS and isinstance(value, int | float):
                found.setdefault(name, []).append((row['step'], value))
    return {name: tuple(np.array(pairs, dtype=float).T) for name, pairs in found.items()}


def smooth(values: Sequence[float], factor: float) -> np.ndarray:
    """Exponential moving average, freed of the bias towards its start.

    ``m_i = factor m_{i-1} + (1 - factor) x_i``, divided by ``1 - factor^i`` (the correction of
    Adam, arXiv 1412.6980). NaN values are passed over.

    Args:
        values: (N,).
        factor: in [0, 1); 0 smooths nothing.

    Returns:
        (N,) averages.
    """
    average, weight, result = 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            average = factor * average + (1 - factor) * value
            weight = factor * weight + (1 - factor)
        result.append(average / weight if weight else math.nan)
    return np.array(result)


def plot_curves(
    scalars: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    path: str | os.PathLike,
    names: Sequence[str] | None = None,
    smoothing: float = 0.6,
    columns: int = 3,
) -> None:
    """Draw each scalar in axes of its own: the raw curve pale, the smoothed one bold.

    Args:
        scalars: name -> (steps, values), as of :func:`read_scalars`.
        path: picture to write; its ending gives the format (png, pdf, svg). Replaced at once.
        names: which scalars, in this order; by default all.
        smoothing: see :func:`smooth`; curves of fewer than ten values are not smoothed.
        columns: axes a row.

    Raises:
        ValueError: if there is nothing to draw, a name is unknown, or an argument does not fit.
    """
    names = list(scalars) if names is None else list(names)
    unknown = [name for name in names if name not in scalars]
    if unknown:
        raise ValueError(f'no scalars named {unknown}; there are {sorted(scalars)}.')
    if not names:
        raise ValueError('plot_curves: there are no scalars to draw.')
    if not 0 <= smoothing < 1:
        raise ValueError(f'smoothing must lie in [0, 1), got {smoothing}.')
    if columns < 1:
        raise ValueError(f'columns must be at least 1, got {columns}.')
    columns = min(columns, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * rows), dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    for i, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, i + 1)
        steps, values = scalars[name]
        few = len(values) < 10
        axes.plot(steps, values, color='tab:blue', alpha=1 if few else 0.3, marker='o' * few)
        if not few:
            axes.plot(steps, smooth(values, smoothing), color='tab:blue')
        axes.set_title(name)
        axes.set_xlabel('step')
        axes.grid(alpha=0.3)
    save_figure(figure, path)


def save_figure(figure: Figure, path: str | os.PathLike) -> Path:
    """Save a figure at once: a reader sees the old picture or the whole new one.

    Args:
        figure: the figure.
        path: picture to write; its ending gives the format (png, pdf, svg).

    Returns:
        The path.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format=Path(path).suffix[1:])
    return write_whole(path, picture.getvalue())
