"""Calibrate a camera of a street that the shipped network has not seen: simulate it, look, compare.

Needs no data and no GPU, and takes less than a minute. Writes what tools/calibrate.py writes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.fileio import load

from nclr_mm.engine.command_line import home_of, report_unwritable
from nclr_mm.environment import missing_extra
from nclr_mm.visualization.report import write_text

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


def simulate(out: Path, seed: int, frames: int) -> Path:
    """A street below ``out``, in the layout of SemanticKITTI; returns its info file."""
    from nclr_mm.datasets.converters import create_semantickitti_infos
    from nclr_mm.datasets.converters.sequences import parse_splits
    from nclr_mm.simulation.generate import generate

    # In this process: a worker would begin with half a minute of imports.
    root = generate(out, frames, seed, 'semantickitti', scenes=1, overwrite=True)
    return create_semantickitti_infos(root, splits=parse_splits([f'street=00:0-{frames - 1}']))[
        'street'
    ]


@report_unwritable
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    out = args.out_dir.resolve()
    try:
        if args.frames < 1 or args.seed < 0:
            raise ValueError('--frames must be at least 1, and --seed at least 0.')
        weights = shipped_weights()
        infos = simulate(out / 'street', args.seed, args.frames)
    except ModuleNotFoundError as error:
        print(f'quickstart: {missing_extra(error, "sim")}', file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f'quickstart: {error}', file=sys.stderr)
        return 2
    command = [str(part) for part in calibrate(infos, out, weights)]
    print('\n$ python', *command, flush=True)
    return subprocess.run([sys.executable, *command], cwd=ROOT).returncode


def calibrate(infos: Path, out: Path, weights: Path) -> list:
    """The command that calibrates the street's frames, with files for what it needs."""
    root, frames = infos.parent, load(infos)['data_list']
    camera = frames[0]['images']['image_2']
    write_text(out / 'intrinsics.json', json.dumps(dict(image_2=camera['cam2img'])))
    write_text(out / 'truth.json', json.dumps(dict(image_2=camera['lidar2cam'])))
    scans = [root / frame['lidar_points']['lidar_path'] for frame in frames]
    images = [root / frame['images']['image_2']['img_path'] for frame in frames]
    return [
        *(f'{TOOLS}/calibrate.py', CONFIG, weights, '--points', *scans, '--image', *images),
        *('--intrinsics', out / 'intrinsics.json', '--truth', out / 'truth.json', '-o', out),
    ]


if __name__ == '__main__':
    sys.exit(main())
