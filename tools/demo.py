"""Simulate a drive, pretrain on it, and report what was learned. Runs on a CPU in minutes.

Each step is one of the commands that the README names; a step that is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-1500i_sim-nus.py'
METRICS = (
    'calib/rot_err_median',
    'calib/rot_err_mean',
    'calib/trans_err_median',
    'calib/trans_err_mean',
    'calib/recall@5deg_2m',
    'calib/recall@10deg_5m',
    'calib/recall@45deg_10m',
    'calib/failed',
    'overlap/point_f1',
    'overlap/pixel_f1',
    'match/within_1px',
    'match/within_3px',
    'match/within_5px',
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', default='work_dirs/demo', help='default %(default)s')
    parser.add_argument('--data-dir', default='data/simulation', help='default %(default)s')
    parser.add_argument('--frames', type=int, default=100, help='simulated frames')
    parser.add_argument('--iters', type=int, help="training iterations; default: the config's")
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--config', default=CONFIG, help='default %(default)s')
    return parser.parse_args()


class Steps:
    """Runs commands once each; a stamp beside the results keeps what was run and how long."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self.changed = False

    def run(self, name: str, *commands: list[str]) -> float:
        """Run the commands of a step unless they ran before; seconds that they took."""
        stamp = self.work_dir / f'{name}.json'
        lines = [' '.join(['python', *command]) for command in commands]
        if not self.changed and stamp.is_file():
            done = json.loads(stamp.read_text())
            if done['commands'] == lines:
                print(f'{name}: done before')
                return done['seconds']
        self.changed = True  # later steps build on this one
        start = time.monotonic()
        for line, command in zip(lines, commands, strict=True):
            print(f'\n$ {line}', flush=True)
            result = subprocess.run([sys.executable, *command], cwd=ROOT)
            if result.returncode:
                sys.exit(f'demo: step "{name}" failed (exit code {result.returncode}): {line}')
        seconds = time.monotonic() - start
        partial = stamp.with_suffix('.tmp')
        partial.write_text(json.dumps(dict(commands=lines, seconds=seconds)))
        os.replace(partial, stamp)
        return seconds


def newest_metrics(work_dir: Path) -> dict[str, float]:
    """Metrics of the last test in a work directory, as mmengine's LoggerHook wrote them."""
    files = sorted(work_dir.glob('*/*.json'), key=lambda p: p.stat().st_mtime)
    if not files:
        sys.exit(f'demo: {work_dir} holds no test result; delete it and run again.')
    return json.loads(files[-1].read_text())


def report(args: argparse.Namespace, seconds: dict[str, float], iters: int) -> Path:
    """Write the report: table, curves and pictures."""
    from nclr_mm.visualization import plot_curves, read_scalars
    from nclr_mm.visualization.report import metric_table, write_text

    work_dir = Path(args.work_dir)
    out = work_dir / 'report'
    out.mkdir(parents=True, exist_ok=True)
    columns = {
        'before training': newest_metrics(work_dir / 'before'),
        'after training': newest_metrics(work_dir / 'after'),
    }
    scalars = sorted((work_dir / 'train').glob('*/vis_data/scalars.json'))[-1]
    curves = read_scalars(scalars)
    names = ['loss', *sorted(n for n in curves if n.startswith('loss_'))]
    plot_curves(curves, out / 'curves.png', names=names)
    sheets = []
    for sheet in sorted((work_dir / 'after' / 'calibration' / 'test').glob('*.jpg')):
        shutil.copyfile(sheet, out / sheet.name)
        sheets.append(sheet.name)
    after = columns['after training']
    initial = {k.replace('initial/', 'calib/'): v for k, v in after.items() if 'initial/' in k}
    lines = [
        '# Demo report',
        '',
        f'`{args.config}` on {args.frames} simulated frames, seed {args.seed}, {iters} iterations. '
        'The table is of held-out scenes, each camera alone, under perturbations of any yaw.',
        '',
        metric_table({'no calibration': initial, **columns}, METRICS),
        '',
        'Errors in degrees and metres; a pose that was not found counts as 180 degrees and 20 m.',
        '',
        '| step | seconds |',
        '| --- | ---: |',
        *(f'| {name} | {value:.0f} |' for name, value in seconds.items()),
        '',
        '![Losses](curves.png)',
        '',
        '## A held-out frame',
        '',
        *(f'![{name}]({name})\n' for name in sheets),
    ]
    write_text(out / 'README.md', '\n'.join(lines))
    print(metric_table({'no calibration': initial, **columns}, METRICS))
    return out / 'README.md'


def main() -> None:
    args = parse_args()
    os.chdir(ROOT)
    from mmengine.config import Config

    config = Config.fromfile(args.config)
    iters = args.iters or config.train_cfg.max_iters
    data = f'{args.data_dir}/nuscenes/'
    loaders = [
        f'{name}_dataloader.dataset.data_root={data}' for name in ('train', 'val', 'test')
    ]
    options = ['--cfg-options', *loaders, f'randomness.seed={args.seed}']
    work_dir = Path(args.work_dir)
    steps = Steps(work_dir)
    seconds = {
        'simulate': steps.run(
            'simulate',
            [
                *('tools/create_data.py', 'simulation', '--out', args.data_dir),
                *('--frames', str(args.frames), '--frames-per-scene', '2'),
                *('--seed', str(args.seed), '--workers', str(os.cpu_count()), '--overwrite'),
            ],
            ['tools/create_data.py', 'nuscenes', '--root-path', data.rstrip('/')],
        ),
        'test before training': steps.run(
            'before',
            ['tools/test.py', args.config, '--work-dir', str(work_dir / 'before'), *options],
        ),
    }
    schedule = [] if args.iters is None else [
        f'train_cfg.max_iters={iters}',
        f'train_cfg.val_interval={iters}',
        f'param_scheduler.1.end={iters}',
        f'param_scheduler.1.T_max={max(1, iters - 50)}',
        f'custom_hooks.0.begin={iters * 9 // 10}',
    ]
    seconds['train'] = steps.run(
        'train',
        [
            *('tools/train.py', args.config, '--work-dir', str(work_dir / 'train')),
            *('--resume', *options, *schedule),
        ],
    )
    checkpoint = work_dir / 'train' / f'iter_{iters}.pth'
    draw = 'custom_hooks=[dict(type="CalibrationVisualizationHook",max_samples=1)]'
    seconds['test after training'] = steps.run(
        'after',
        [
            *('tools/test.py', args.config, str(checkpoint)),
            *('--work-dir', str(work_dir / 'after'), *options, draw),
        ],
    )
    print(f'\nReport: {report(args, seconds, iters)}')


if __name__ == '__main__':
    main()
