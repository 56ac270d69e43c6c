"""Train a model of the model zoo anew: simulate its streets, train it, write its weights.

Goes on after an interruption; what is done is not done again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
# The streets of the zoo's models: 240 of two frames.
STREETS = ('--frames', '480', '--frames-per-scene', '2', '--seed', '1')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of a model that was trained on simulated streets')
    parser.add_argument('--seed', type=int, default=0, help='of the training; default: %(default)s')
    parser.add_argument('--workers', type=int, default=2, help='of the simulation')
    parser.add_argument('--weights', type=Path, help='default: work_dirs/NAME/NAME.pth')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], help='settings of the config to override'
    )
    return parser.parse_args(argv)


def commands(args: argparse.Namespace) -> list[list[str]]:
    """What there is to be done, as arguments of Python."""
    cfg = Config.fromfile(args.config)
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    root = Path(dataset.data_root)
    if root.parent != Path('data/streets'):
        raise ValueError(f'{args.config} is trained on {root}, not on simulated streets.')
    name = Path(args.config).stem
    work_dir = Path('work_dirs') / name
    result = []
    if not (root / 'simulation.json').is_file():
        result.append(
            [
                *('tools/create_data.py', 'simulation', '--out', str(root.parent)),
                *('--layout', root.name, *STREETS, '--workers', str(args.workers)),
            ]
        )
    if not (root / dataset.ann_file).is_file():
        result.append(['tools/create_data.py', root.name, '--root-path', str(root)])
    last = work_dir / f'iter_{cfg.train_cfg.max_iters}.pth'
    if not last.is_file():
        options = [f'randomness.seed={args.seed}', *args.cfg_options]
        result.append(['tools/train.py', args.config, '--resume', '--cfg-options', *options])
    weights = args.weights or work_dir / f'{name}.pth'
    result.append(['tools/publish_model.py', str(last), str(weights)])
    return result


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    os.chdir(ROOT)
    try:
        steps = commands(args)
    except (OSError, ValueError) as error:
        print(f'rebuild: {error}', file=sys.stderr)
        return 2
    for step in steps:
        print('\n$ python', *step, flush=True)
        done = subprocess.run([sys.executable, *step])
        if done.returncode:
            print(f'rebuild: failed (exit code {done.returncode}): {step[0]}', file=sys.stderr)
            return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
