"""Train a model of the model zoo anew: simulate its streets, train it, write its weights.

Goes on after an interruption; what is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from nclr_mm.engine.command_line import home_of, read_config

ROOT, TOOLS, _ = home_of(__file__)
# The streets of the zoo's models: 240 of two frames.
STREETS = dict(seed=1, frames=480, scenes=240)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'config', help='config trained on simulated streets; a Python program, which runs'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the training; default: %(default)s')
    parser.add_argument('--workers', type=int, default=2, help='of the simulation')
    parser.add_argument(
        '--weights',
        type=Path,
        help='file to write, digits of its content are added; default: NAME.pth beside the run',
    )
    return parser.parse_args(argv)


def commands(args: argparse.Namespace) -> list[list[str]]:
    """What there is to be done, as arguments of Python."""
    cfg = read_config(args.config)
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    root = Path(dataset.data_root)
    if root.parent != Path('data/streets'):
        raise ValueError(f'{args.config} is trained on {root}, not on simulated streets.')
    name = Path(args.config).stem
    work_dir = Path('work_dirs') / (name if args.seed == 0 else f'{name}-seed{args.seed}')
    result = []
    if not streets_are_there(root):
        result.append(
            [
                *(f'{TOOLS}/create_data.py', 'simulation', '--out', str(root.parent)),
                *('--layout', root.name, '--seed', str(STREETS['seed'])),
                *('--frames', str(STREETS['frames']), '--scenes', str(STREETS['scenes'])),
                *('--workers', str(args.workers)),
            ]
        )
    if not (root / dataset.ann_file).is_file():
        result.append([f'{TOOLS}/create_data.py', root.name, '--root-path', str(root)])
    last = work_dir / f'iter_{cfg.train_cfg.max_iters}.pth'
    if not last.is_file():
        train = [f'{TOOLS}/train.py', args.config, '--work-dir', str(work_dir), '--resume']
        result.append([*train, '--cfg-options', f'randomness.seed={args.seed}'])
    weights = args.weights or work_dir / f'{name}.pth'
    result.append([f'{TOOLS}/publish_model.py', str(last), str(weights)])
    return result


def streets_are_there(root: Path) -> bool:
    """Whether the zoo's streets are simulated; an error where others are."""
    stamp = root / 'simulation.json'
    if not stamp.is_file():
        return False
    found = json.loads(stamp.read_text())
    for name, value in STREETS.items():
        if found.get(name) != value:
            raise ValueError(
                f'{root} holds other streets: {name} is {found.get(name)}, expected {value}. Move '
                'it away, or simulate into it again with --overwrite.'
            )
    return True


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    os.chdir(ROOT)
    try:
        steps = commands(args)
    except (OSError, ValueError) as error:
        print(f'rebuild: {error}', file=sys.stderr)
        return 2
    for step in steps:
        print(f'\n$ {shlex.join(["python", *step])}', flush=True)
        done = subprocess.run([sys.executable, *step])
        if done.returncode:
            print(f'rebuild: failed (exit code {done.returncode}): {step[0]}', file=sys.stderr)
            return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
