"""Compare pretrained with random weights: fine-tune a config over label fractions and seeds.

Each run is a call of tools/train.py. A run that is done is not done again, one that was cut off
goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the fine-tuning')
    parser.add_argument(
        '--start',
        action='append',
        metavar='NAME=CHECKPOINT',
        default=[],
        help='pretrained weights to start from; may be repeated, and may be added later: runs from '
        'random weights come first, and are not done again',
    )
    parser.add_argument('--fractions', nargs='+', type=float, default=[0.001, 0.01, 0.1, 0.5, 1])
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0, 1, 2], help='also the offsets of the fractions'
    )
    parser.add_argument('--metric', default='miou', help='default: %(default)s')
    parser.add_argument('--work-dir', type=Path, help='default: work_dirs/compare-NAME')
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        help='runs at the same time, which share the CPU cores (all of them use the same GPU); '
        'default: %(default)s',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], help='override settings in every run'
    )
    args = parser.parse_args()
    if args.jobs < 1:
        parser.error(f'--jobs must be at least 1, got {args.jobs}')
    return args


def parse_starts(texts: list[str]) -> dict[str, str | None]:
    """Names and checkpoints of the starts, random weights first."""
    starts: dict[str, str | None] = {'random': None}
    for text in texts:
        name, _, path = text.partition('=')
        if not name or not path or name in starts:
            sys.exit(f'compare: a start reads NAME=CHECKPOINT with a new name, got {text!r}.')
        if not Path(path).is_file():
            sys.exit(f'compare: there is no checkpoint {path}.')
        starts[name] = str(Path(path).resolve())
    return starts


@dataclass(frozen=True)
class Run:
    """One fine-tuning."""

    start: str
    fraction: float
    seed: int
    work_dir: Path
    command: tuple[str, ...]

    @property
    def line(self) -> str:
        return ' '.join(['python', *self.command])


class RunError(RuntimeError):
    """A run that cannot begin or did not end well."""


def list_runs(args: argparse.Namespace, out: Path, starts: dict[str, str | None]) -> list[Run]:
    """All runs, seed by seed, so that an early look has something of each start."""
    runs = []
    dataset = 'train_dataloader.dataset'
    for fraction in args.fractions:
        for seed in args.seeds:
            for name, checkpoint in starts.items():
                work_dir = out / f'{name}-{fraction:g}-seed{seed}'
                command = (
                    *('tools/train.py', args.config, '--work-dir', str(work_dir), '--resume'),
                    *('--cfg-options', f'randomness.seed={seed}', f'load_from={checkpoint}'),
                    f'{dataset}.fraction={fraction}',
                    f'{dataset}.offset={seed if fraction < 1 else 0}',
                    *args.cfg_options,
                )
                runs.append(Run(name, fraction, seed, work_dir, command))
    return runs


def last_validation(work_dir: Path, metric: str) -> dict[str, float]:
    """The metrics that the run's last validation logged."""
    files = sorted(work_dir.glob('*/vis_data/scalars.json'), key=lambda p: p.stat().st_mtime)
    for path in reversed(files):
        for line in reversed(path.read_text().splitlines()):
            entry = json.loads(line)
            if metric in entry:
                return entry
    raise RunError(f'no validation in {work_dir} logged {metric!r}.')


def finetune(run: Run, metric: str, jobs: int) -> dict:
    """Do a run unless it is done; its command, metrics and seconds."""
    record = run.work_dir / 'run.json'
    known = json.loads(record.read_text()) if record.is_file() else {}
    if known.get('command', run.line) != run.line:
        raise RunError(f'{run.work_dir} holds a run of another command: {known["command"]}')
    if metric in known.get('metrics', {}):
        print(f'done before: {run.work_dir.name}', flush=True)
        return known
    run.work_dir.mkdir(parents=True, exist_ok=True)
    write_json(record, dict(command=run.line))
    environment = dict(os.environ)
    if jobs > 1:
        threads = max(1, (os.cpu_count() or 1) // jobs)
        environment.setdefault('OMP_NUM_THREADS', str(threads))
    log = run.work_dir / 'run.log'
    print(f'$ {run.line}', flush=True)
    begin = time.monotonic()
    with open(log, 'a') as file:
        code = subprocess.run(
            [sys.executable, *run.command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        ).returncode
    seconds = time.monotonic() - begin
    if code:
        tail = '\n'.join(log.read_text(errors='replace').splitlines()[-5:])
        raise RunError(f'the run {run.work_dir} failed with code {code}, see {log}:\n{tail}')
    # Of a run that was cut off, the time is that of its last part.
    done = dict(
        command=run.line,
        metrics=last_validation(run.work_dir, metric),
        resumed=bool(known),
        seconds=round(seconds, 1),
    )
    write_json(record, done)
    print(
        f'{run.work_dir.name}: {metric} {done["metrics"][metric]:.4f} in {seconds:.0f} s',
        flush=True,
    )
    return done


def write_json(path: Path, content) -> None:
    """Write at once, so that a cut leaves the old file or the new one."""
    partial = path.with_suffix('.tmp')
    partial.write_text(json.dumps(content, indent=1))
    os.replace(partial, path)


def main() -> None:
    args = parse_args()
    starts = parse_starts(args.start)
    os.chdir(ROOT)
    out = args.work_dir or Path('work_dirs') / f'compare-{Path(args.config).stem}'
    from nclr_mm.visualization.comparison import comparison_table, plot_comparison
    from nclr_mm.visualization.report import write_text

    runs = list_runs(args, out, starts)
    with ThreadPoolExecutor(args.jobs) as pool:
        futures = [pool.submit(finetune, run, args.metric, args.jobs) for run in runs]
        try:
            results = [future.result() for future in futures]
        except RunError as error:
            pool.shutdown(cancel_futures=True)
            sys.exit(f'compare: {error}')
    values: dict[tuple[str, float], list[float]] = {}
    for run, done in zip(runs, results, strict=True):
        values.setdefault((run.start, run.fraction), []).append(done['metrics'][args.metric])
    raw = [
        dict(start=run.start, fraction=run.fraction, seed=run.seed, **done)
        for run, done in zip(runs, results, strict=True)
    ]
    table = comparison_table(values)
    write_json(out / 'results.json', raw)
    write_text(out / 'table.md', table + '\n')
    plot_comparison(values, out / 'comparison.png', args.metric)
    print(f'\n{table}\n\nTable, plot and values: {out}')


if __name__ == '__main__':
    main()
