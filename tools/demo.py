"""Simulate a drive, pretrain on it, and report what was learned. Runs on a CPU in minutes.

Each step is one of the commands that the README names; a step that is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from nclr_mm.engine.command_line import home_of, report_unwritable
from nclr_mm.visualization.report import metric_table, write_text

ROOT, TOOLS, CONFIGS = home_of(__file__)
CONFIG = f'{CONFIGS}/nclr/nclr_minkunet-small_spconv_lite0_1xb1-1200i_sim-semantickitti.py'
METRICS = (
    'camera/rot_err_median',
    'camera/rot_err_mean',
    'camera/trans_err_median',
    'camera/trans_err_mean',
    'camera/recall@5deg_2m',
    'camera/recall@10deg_5m',
    'camera/recall@45deg_10m',
    'camera/failed',
    'overlap/point_f1',
    'overlap/pixel_f1',
    'match/within_1px',
    'match/within_3px',
    'match/within_5px',
)

#: held-out sets: name -> split of the info file
TEST_SETS = {'frames': 'heldout', 'street': 'val'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', default='work_dirs/demo', help='default %(default)s')
    parser.add_argument('--data-dir', default='data/demo', help='default %(default)s')
    parser.add_argument(
        '--frames', type=int, default=30, help='frames of each of two streets; at least 10'
    )
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

    def run(
        self,
        name: str,
        *commands: list[str],
        resumes: str | None = None,
        made: Path | None = None,
    ) -> float:
        """Run the commands of a step unless they ran before; seconds that they took.

        ``resumes`` is the folder in which a command goes on after an interruption; what another
        command, or one with other inputs, left there is removed. ``made`` is a file that the
        commands wrote: where it is gone or changed, they run again.
        """
        stamp, started = (self.work_dir / f'{name}.{end}' for end in ('json', 'started'))
        lines = [' '.join(['python', *command]) for command in commands]
        if not self.changed and stamp.is_file():
            done = json.loads(stamp.read_text())
            if done['commands'] == lines and done.get('made') == content(made):
                print(f'{name}: done before')
                return done['seconds']
        goes_on = not self.changed and started.is_file() and started.read_text() == '\n'.join(lines)
        if resumes and not goes_on:
            shutil.rmtree(self.work_dir / resumes, ignore_errors=True)
        write_text(started, '\n'.join(lines))
        start = time.monotonic()
        for line, command in zip(lines, commands, strict=True):
            print(f'\n$ {shlex.join(["python", *command])}', flush=True)
            result = subprocess.run([sys.executable, *command], cwd=ROOT)
            if result.returncode:
                sys.exit(f'demo: step "{name}" failed (exit code {result.returncode}): {line}')
        self.changed = True  # later steps build on this one
        seconds = time.monotonic() - start
        write_text(stamp, json.dumps(dict(commands=lines, seconds=seconds, made=content(made))))
        return seconds


def content(path: Path | None) -> str | None:
    """Text of a file; None without one."""
    return path.read_text() if path is not None and path.is_file() else None


def tested(work_dir: Path) -> dict[str, float]:
    """Metrics of the last test in a work directory."""
    from nclr_mm.visualization import newest_test

    found = newest_test(work_dir)
    if not found:
        sys.exit(f'demo: {work_dir} holds no test result; delete it and run again.')
    return found


def results(work_dir: Path) -> dict[str, dict[str, float]]:
    """Metrics before and after training, on both held-out sets, as columns of a table."""
    columns = {}
    for name in TEST_SETS:
        before = tested(work_dir / f'before-{name}')
        after = tested(work_dir / f'after-{name}')
        perturbed = {
            key.replace('initial/', 'camera/'): value
            for key, value in after.items()
            if key.startswith('initial/')
        }
        columns |= {
            f'{name}: perturbed': perturbed,
            f'{name}: untrained': before,
            f'{name}: trained': after,
        }
    return columns


def report(args: argparse.Namespace, seconds: dict[str, float], iters: int) -> Path:
    """Write the report: table, curves and pictures."""
    from nclr_mm.visualization import plot_curves, read_run

    work_dir = Path(args.work_dir)
    out = work_dir / 'report'
    out.mkdir(parents=True, exist_ok=True)
    table = metric_table(results(work_dir), METRICS)
    curves, _ = read_run(work_dir / 'train')
    plot_curves(curves, out / 'curves.png', names=[n for n in curves if n.startswith('loss')])
    sheets = sorted((work_dir / 'after-frames' / 'calibration' / 'test').glob('*.jpg'))
    for sheet in sheets:
        shutil.copyfile(sheet, out / sheet.name)
    lines = [
        '# Demo report',
        '',
        f'`{args.config}`: two simulated streets of {args.frames} frames, seed '
        f'{args.seed}, {iters} iterations.',
        '',
        table,
        '',
        'Unfiltered errors in degrees and metres of each camera alone; a pose that was not found '
        'counts as 180 degrees and 20 m. *Frames*: the next ones of the street trained on. '
        '*Street*: never seen. *Perturbed*: the pose known before calibration.',
        '',
        '| step | seconds |',
        '| --- | ---: |',
        *(f'| {name} | {value:.0f} |' for name, value in seconds.items()),
        '',
        '![Losses](curves.png)',
        '',
        '## A held-out frame',
        '',
        *(f'![{sheet.stem}]({sheet.name})\n' for sheet in sheets),
    ]
    write_text(out / 'README.md', '\n'.join(lines))
    print(f'\n{table}')
    return out / 'README.md'


def schedule_options(iters: int | None) -> list[str]:
    """Options that stretch the config's schedule to another number of iterations."""
    if iters is None:
        return []
    return [
        f'train_cfg.max_iters={iters}',
        f'train_cfg.val_interval={iters}',
        f'param_scheduler.0.end={min(50, iters - 1)}',
        f'param_scheduler.1.begin={min(50, iters - 1)}',
        f'param_scheduler.1.end={iters}',
        f'param_scheduler.1.T_max={max(1, iters - 50)}',
        f'custom_hooks.0.begin={iters * 9 // 10}',
        f'default_hooks.logger.interval={min(50, iters)}',  # the curves need a point at least
    ]


@report_unwritable
def main() -> None:
    args = parse_args()
    os.chdir(ROOT)
    from mmengine.config import Config

    iters = args.iters or Config.fromfile(args.config).train_cfg.max_iters
    data = f'{args.data_dir}/semantickitti/'
    kept = args.frames * 4 // 5  # train on the first four fifths of the first street
    work_dir = Path(args.work_dir)
    steps = Steps(work_dir)
    options = ['--cfg-options', f'randomness.seed={args.seed}']
    options += [f'{name}_dataloader.dataset.data_root={data}' for name in ('train', 'val', 'test')]

    def test(when: str, *checkpoint: str) -> float:
        commands = [
            [
                *(f'{TOOLS}/test.py', args.config, *checkpoint),
                *('--work-dir', str(work_dir / f'{when}-{name}'), *options),
                f'test_dataloader.dataset.ann_file=semantickitti_infos_{split}.pkl',
            ]
            for name, split in TEST_SETS.items()
        ]
        return steps.run(f'{when}-test', *commands)

    simulate = [
        *(f'{TOOLS}/create_data.py', 'simulation', '--out', args.data_dir, '--overwrite'),
        *('--layout', 'semantickitti', '--frames', str(2 * args.frames), '--scenes', '2'),
        # A worker takes up to 1 GB.
        *('--seed', str(args.seed), '--workers', str(min(4, len(os.sched_getaffinity(0))))),
    ]
    infos = [
        *(f'{TOOLS}/create_data.py', 'semantickitti', '--root-path', data.rstrip('/')),
        *('--split', f'train=00:0-{kept - 1}'),
        *('--split', f'heldout=00:{kept}-{args.frames - 1}'),
        *('--split', f'val=01:0-{args.frames - kept - 1}'),
    ]
    train = [
        *(f'{TOOLS}/train.py', args.config, '--work-dir', str(work_dir / 'train'), '--resume'),
        *options,
        # The two test steps evaluate; validation after training would be a third time.
        *('val_cfg=None', 'val_dataloader=None', 'val_evaluator=None'),
        *schedule_options(args.iters),
    ]
    checkpoint = str(work_dir / 'train' / f'iter_{iters}.pth')
    seconds = {
        'simulate': steps.run('simulate', simulate, infos, made=Path(data) / 'simulation.json'),
        'test before training': test('before'),
        'train': steps.run('train', train, resumes='train'),
        'test after training': test('after', checkpoint),
    }
    print(f'\nReport: {report(args, seconds, iters)}')


if __name__ == '__main__':
    main()
