"""Draw the curves of runs, and write their results as a Markdown table.

Writes <out>/README.md with one table of all runs, and <out>/<run>_training.png and
<out>/<run>_validation.png for each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from nclr_mm.engine.command_line import report_user_errors
from nclr_mm.visualization import newest_test, plot_curves, read_run
from nclr_mm.visualization.curves import Scalars
from nclr_mm.visualization.report import metric_table, write_text


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dirs', nargs='+', type=Path, help='work directories of runs')
    parser.add_argument('-o', '--out-dir', type=Path, required=True)
    parser.add_argument(
        '--metric',
        nargs='+',
        default=['*'],
        help='metrics of the table, with * for any letters; default: all',
    )
    return parser.parse_args(argv)


def label(work_dir: Path, others: Sequence[Path]) -> str:
    """Name of a run: that of its folder, with the one above where two have the same."""
    same = [other for other in others if other.name == work_dir.name]
    return work_dir.name if len(same) == 1 else f'{work_dir.parent.name}_{work_dir.name}'


def read_work_dir(path: Path) -> tuple[Scalars, Scalars, dict[str, float]]:
    """Curves of training and validation, and metrics of the last test."""
    test = newest_test(path)
    try:
        return *read_run(path), test
    except FileNotFoundError:
        if not test:
            raise
        return {}, {}, test  # only tested there


def write_report(args: argparse.Namespace) -> Path:
    """Write pictures and table; returns the path of the latter."""
    paths = [path.resolve() for path in args.work_dirs]
    names = [label(path, paths) for path in paths]
    if len(set(names)) < len(names):
        raise ValueError(f'Two of the work directories have the same name: {", ".join(names)}.')
    runs = {name: read_work_dir(path) for name, path in zip(names, paths)}
    columns, pictures = {}, []
    for name, (training, validation, test) in runs.items():
        last = {metric: float(values[-1]) for metric, (_, values) in validation.items()}
        columns[name] = {
            metric: value
            for metric, value in {**last, **test}.items()
            if any(fnmatch(metric, pattern) for pattern in args.metric)
        }
        for kind, scalars in (('training', training), ('validation', validation)):
            scalars = {n: xy for n, xy in scalars.items() if np.isfinite(xy[1]).any()}
            if kind == 'validation':
                scalars = {n: xy for n, xy in scalars.items() if n in columns[name]}
            if scalars:
                path = args.out_dir / f'{name}_{kind}.png'
                plot_curves(scalars, path)
                pictures.append(path)
    if args.metric != ['*'] and not any(columns.values()):
        known = sorted({m for _, validation, test in runs.values() for m in (*validation, *test)})
        wanted, there = ' or '.join(args.metric), ', '.join(known) or 'none'
        raise ValueError(f'No metric is called {wanted}; there are {there}.')
    metrics = list(dict.fromkeys(metric for column in columns.values() for metric in column))
    lines = ['# Runs', '']
    if metrics:
        what = 'The last value of each metric: of the last test, or else of the last validation.'
        lines += [what, '', metric_table(columns, metrics), '']
    lines += [f'![{path.stem}]({path.name})\n' for path in pictures]
    write_text(args.out_dir / 'README.md', '\n'.join(lines))
    return args.out_dir / 'README.md'


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    print(report_user_errors(lambda: write_report(args)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
