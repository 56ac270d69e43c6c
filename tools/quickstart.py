"""Calibrate a camera of a street that the shipped network has not seen: simulate it, look, compare.

Needs no data and no GPU, and takes less than a minute. Writes what tools/calibrate.py writes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.fileio import load

from nclr_mm.engine.command_line import home_of

ROOT, TOOLS, CONFIGS = home_of(__file__)
CONFIG = f'{CONFIGS}/nclr/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('-o', '--out-dir', type=Path, default=Path('work_dirs/quickstart'))
    parser.add_argument(
        '--seed',
        type=int,
        default=1000,
        help='of the street; that of the training streets is 1; default: %(default)s',
    )
    parser.add_argument('--frames', type=int, default=2, help='default: %(default)s')
    return parser.parse_args(argv)


def shipped_weights() -> Path:
    """The weights that come with the repository."""
    folder, name = ROOT / CONFIGS / 'nclr/weights', Path(CONFIG).stem
    found = sorted(folder.glob(f'{name}-*.pth'))
    if len(found) != 1:
        raise FileNotFoundError(
            f'{folder} should hold one file of {name}, it holds {len(found)}. To make it: python '
            f'{TOOLS}/rebuild.py {CONFIG} --weights {CONFIGS}/nclr/weights/{name}.pth'
        )
    return found[0]


def run(*arguments: object) -> int:
    print('\n$ python', *arguments, flush=True)
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT).returncode


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    out = args.out_dir.resolve()
    try:
        weights = shipped_weights()
    except FileNotFoundError as error:
        print(f'quickstart: {error}', file=sys.stderr)
        return 2
    root = out / 'street/semantickitti'
    simulate = [f'{TOOLS}/create_data.py', 'simulation', '--out', root.parent, '--overwrite']
    simulate += ['--layout', root.name, '--frames', args.frames, '--scenes', 1]
    simulate += ['--seed', args.seed, '--workers', min(4, os.cpu_count() or 1)]
    infos = [f'{TOOLS}/create_data.py', root.name, '--root-path', root]
    infos += ['--split', f'street=00:0-{args.frames - 1}']
    for command in (simulate, infos):
        if run(*command):
            return 1
    return run(*calibrate(root, out, weights))


def calibrate(root: Path, out: Path, weights: Path) -> list:
    """The command that calibrates the street's frames, with files for what it needs."""
    frames = load(root / f'{root.name}_infos_street.pkl')['data_list']
    camera = frames[0]['images']['image_2']
    (out / 'intrinsics.json').write_text(json.dumps(dict(image_2=camera['cam2img'])))
    (out / 'truth.json').write_text(json.dumps(dict(image_2=camera['lidar2cam'])))
    scans = [root / frame['lidar_points']['lidar_path'] for frame in frames]
    images = [root / frame['images']['image_2']['img_path'] for frame in frames]
    return [
        *(f'{TOOLS}/calibrate.py', CONFIG, weights, '--points', *scans, '--image', *images),
        *('--intrinsics', out / 'intrinsics.json', '--truth', out / 'truth.json', '-o', out),
    ]


if __name__ == '__main__':
    sys.exit(main())
