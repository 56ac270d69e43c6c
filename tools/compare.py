"""Compare pretrained with random weights: fine-tune a config over label fractions and seeds.

Each run is a call of tools/train.py. A run that is done is not done again, one that was cut off
goes on.
"""

from __future__ import annotations

import argparse
import difflib
import fcntl
import functools
import hashlib
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from mmengine.config import Config

from nclr_mm.compat.mmengine_saving import newest_checkpoint
from nclr_mm.engine.command_line import (
    DictAction,
    home_of,
    read_config,
    report_unwritable,
)
from nclr_mm.visualization import newest_test
from nclr_mm.visualization.comparison import comparison_table, plot_comparison
from nclr_mm.visualization.report import write_text

ROOT, TOOLS, _ = home_of(__file__)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the fine-tuning; a Python program, which runs')
    parser.add_argument(
        '--config-for',
        action='append',
        metavar='FRACTION=CONFIG',
        default=[],
        help='another config for a fraction, such as one with more epochs; may be repeated',
    )
    parser.add_argument(
        '--start',
        action='append',
        metavar='NAME=CHECKPOINT',
        default=[],
        help='pretrained weights to start from; may be repeated, and may be added later: runs from '
        'random weights come first, and are not done again',
    )
    parser.add_argument(
        '--start-options',
        nargs='+',
        action='append',
        metavar='NAME KEY=VALUE',
        default=[],
        help='name of a start (or random) and what overrides the config in its runs alone, such '
        'as learning rates that suit pretrained weights; may be repeated',
    )
    parser.add_argument('--fractions', nargs='+', type=float, default=[0.001, 0.01, 0.1, 0.5, 1])
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[0, 1, 2],
        help="also added to the offset of the config's label fraction",
    )
    parser.add_argument('--metric', default='miou', help='default: %(default)s')
    parser.add_argument(
        '--percent', action='store_true', help='the metric is in percent already, as KITTI AP is'
    )
    parser.add_argument('--work-dir', type=Path, help='default: work_dirs/compare-FOLDER-NAME')
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
    for option in args.cfg_options:
        if '=' not in option:
            parser.error(f'--cfg-options reads KEY=VALUE ..., got {option!r}')
    for name in ('fractions', 'seeds'):
        if len(set(getattr(args, name))) < len(getattr(args, name)):
            parser.error(f'--{name} names one twice: {getattr(args, name)}')
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


def parse_configs(args: argparse.Namespace) -> dict[float, str]:
    """Config of each fraction."""
    configs = dict.fromkeys(args.fractions, args.config)
    for text in args.config_for:
        fraction, _, config = text.partition('=')
        try:
            known = float(fraction) in configs
        except ValueError:
            known = False
        if not known or not config:
            sys.exit(
                f'compare: --config-for reads FRACTION=CONFIG with one of {args.fractions}, '
                f'got {text!r}.'
            )
        configs[float(fraction)] = config
    for config in configs.values():
        if not Path(config).is_file():
            sys.exit(f'compare: there is no config {config}.')
    return {fraction: from_root(Path(config)) for fraction, config in configs.items()}


def parse_start_options(args: argparse.Namespace, starts: dict) -> dict[str, tuple[str, ...]]:
    """What overrides the config in the runs of each start."""
    options = dict.fromkeys(starts, ())
    for name, *values in args.start_options:
        if name not in starts or not values or not all('=' in value for value in values):
            sys.exit(
                f'compare: --start-options reads NAME KEY=VALUE ... with one of {list(starts)}, '
                f'got {" ".join([name, *values])!r}.'
            )
        options[name] += tuple(values)
    return options


def from_root(path: Path) -> str:
    """The path as seen from the repository, where the runs are started."""
    path = path.resolve()
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


@dataclass(frozen=True)
class Run:
    """One fine-tuning.

    Attributes:
        start: name of the weights it starts from.
        fraction: label fraction.
        seed: seed, and what is added to the offset of the fraction.
        config: the config file.
        options: what overrides the config.
        work_dir: folder of its logs and checkpoints.
        length: iterations or epochs of the whole run.
        inputs: hash of the resolved config and of the checkpoint.
    """

    start: str
    fraction: float
    seed: int
    config: str
    options: tuple[str, ...]
    work_dir: Path
    length: int
    inputs: str

    @property
    def command(self) -> list[str]:
        work_dir = ['--work-dir', str(self.work_dir), '--resume']
        return [f'{TOOLS}/train.py', self.config, *work_dir, '--cfg-options', *self.options]

    @property
    def line(self) -> str:
        return ' '.join(['python', *self.command])

    @property
    def name(self) -> str:
        return self.work_dir.name


class RunError(RuntimeError):
    """A run that cannot begin or did not end well."""


@functools.cache
def file_digest(path: str) -> bytes:
    """Hash of a file, which many runs may share."""
    return hashlib.sha256(Path(path).read_bytes()).digest()


def digest(config: str, options: tuple[str, ...], checkpoint: str | None) -> tuple[int, str]:
    """Length of a run, and a hash of what it depends on: resolved config and checkpoint."""
    parser = argparse.ArgumentParser()
    parser.add_argument('options', nargs='+', action=DictAction)
    cfg = read_config(ROOT / config, parser.parse_args(options).options)
    length = cfg.train_cfg.get('max_iters') or cfg.train_cfg.get('max_epochs')
    content = hashlib.sha256(json.dumps(cfg.to_dict(), sort_keys=True, default=str).encode())
    if checkpoint is not None:
        content.update(file_digest(checkpoint))
    return length, content.hexdigest()


def labelled_dataset(config: str) -> tuple[str, int]:
    """Where a config has the dataset that takes a label fraction, and its offset there.

    The dataset may be wrapped, as in a RepeatDataset; the offset is one such as SLidR's k - 1.
    """
    key, dataset = (
        'train_dataloader.dataset',
        Config.fromfile(ROOT / config).train_dataloader.dataset,
    )
    while 'dataset' in dataset:
        key, dataset = f'{key}.dataset', dataset.dataset
    return key, dataset.get('offset', 0)


def list_runs(args: argparse.Namespace, out: Path, starts: dict[str, str | None]) -> list[Run]:
    """All runs, seed by seed, so that an early look has something of each start."""
    runs = []
    configs = parse_configs(args)
    start_options = parse_start_options(args, starts)
    for fraction in args.fractions:
        # The first repeat takes the labels that the config takes.
        dataset, first = labelled_dataset(configs[fraction])
        parts = round(1 / fraction)
        if fraction < 1 and len({seed % parts for seed in args.seeds}) < len(args.seeds):
            print(f'At {fraction:.3g} of the labels there are {parts} parts: some seeds share one.')
        for seed in args.seeds:
            offset = first + seed if fraction < 1 else 0
            for name, checkpoint in starts.items():
                options = (
                    *(f'randomness.seed={seed}', f'load_from={checkpoint}'),
                    f'{dataset}.fraction={fraction}',
                    f'{dataset}.offset={offset}',
                    *args.cfg_options,
                    *start_options[name],
                )
                length, inputs = digest(configs[fraction], options, checkpoint)
                work_dir = out / f'{name}-{fraction:g}-seed{seed}'
                runs.append(
                    Run(name, fraction, seed, configs[fraction], options, work_dir, length, inputs)
                )
    return runs


class Processes:
    """Programs under way, to be ended together."""

    def __init__(self, jobs: int) -> None:
        self.environment = dict(os.environ)
        if jobs > 1:
            threads = max(1, (os.cpu_count() or 1) // jobs)
            self.environment.setdefault('OMP_NUM_THREADS', str(threads))
        self._running: set[subprocess.Popen] = set()
        self._lock = Lock()
        self._ended = False

    def call(self, command: list[str], log: Path, keep_open: int) -> int:
        """Run a Python program to its end; its exit code.

        Args:
            command: the program and its arguments.
            log: file to which its output is appended.
            keep_open: descriptor of the lock, which the program holds as long as it lives.
        """
        with open(log, 'a') as file:
            with self._lock:
                if self._ended:
                    raise RunError('ended before it began.')
                process = subprocess.Popen(
                    [sys.executable, *command],
                    cwd=ROOT,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    pass_fds=[keep_open],
                )
                self._running.add(process)
            try:
                return process.wait()
            finally:
                self._running.discard(process)

    def end(self) -> None:
        """End what runs, and let nothing begin."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()


def last_entries(work_dir: Path, length: int) -> Iterator[dict[str, float]]:
    """What was logged at the run's end, the latest first."""
    for path in sorted(work_dir.glob('*/vis_data/scalars.json'), reverse=True):
        for line in reversed(path.read_text().splitlines()):
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # a run that was cut off may leave half a line
                continue
            if entry.get('step') == length:
                yield entry


def last_validation(work_dir: Path, metric: str, length: int) -> dict[str, float] | None:
    """The metrics of the validation at the run's end; None if it was not reached."""
    return next((entry for entry in last_entries(work_dir, length) if metric in entry), None)


def logged_metrics(work_dir: Path, length: int) -> list[str]:
    """Names that the validation at the run's end logged; none if it was not reached."""
    validations = (entry for entry in last_entries(work_dir, length) if 'lr' not in entry)
    return [n for n in next(validations, {}) if n not in ('step', 'time', 'data_time')]


def evaluate(run: Run, processes: Processes, log: Path, lock: int) -> dict[str, float] | None:
    """Metrics of the last checkpoint, of a run that was cut off while it was validated."""
    checkpoint = newest_checkpoint(str(run.work_dir))
    if checkpoint is None:
        return None
    out = run.work_dir / 'test'
    test = [f'{TOOLS}/test.py', run.config, checkpoint, '--work-dir', str(out)]
    if processes.call([*test, '--cfg-options', *run.options], log, lock):
        return None
    return newest_test(out) or None


def finetune(run: Run, metric: str, processes: Processes) -> dict:
    """Do a run unless it is done; its command, metrics and seconds."""
    run.work_dir.mkdir(parents=True, exist_ok=True)
    record, log = run.work_dir / 'run.json', run.work_dir / 'run.log'
    with open(run.work_dir / '.lock', 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f'{run.work_dir} is in use by another run.') from error
        known = json.loads(record.read_text()) if record.is_file() else {}
        if known.get('command', run.line) != run.line:
            raise RunError(f'{run.work_dir} holds a run of another command: {known["command"]}')
        if known.get('inputs', run.inputs) != run.inputs:
            raise RunError(
                f'{run.work_dir} holds a run of the same command, but its config or checkpoint '
                'has changed since; remove the folder to do it again.'
            )
        if metric in known.get('metrics', {}):
            print(f'done before: {run.name}', flush=True)
            return known
        write_text(record, json.dumps(dict(command=run.line, inputs=run.inputs), indent=1))
        print(f'$ {shlex.join(["python", *run.command])}', flush=True)
        begin = time.monotonic()
        code = processes.call(run.command, log, lock.fileno())
        if code:
            tail = '\n'.join(log.read_text(errors='replace').splitlines()[-5:])
            raise RunError(f'the run {run.work_dir} ended with code {code}, see {log}:\n{tail}')
        metrics = last_validation(run.work_dir, metric, run.length)
        others = [] if metrics else logged_metrics(run.work_dir, run.length)
        if others:
            close = difflib.get_close_matches(metric, others, 5, 0.3) or others[:5]
            raise RunError(
                f'{run.work_dir}: the validation at its end logged no {metric!r}; --metric may be '
                f'{", ".join(close)} ...'
            )
        if metrics is None:
            metrics = evaluate(run, processes, log, lock.fileno())
        if metric not in (metrics or {}):
            raise RunError(
                f'{run.work_dir}: no validation at its end logged {metric!r}, see {log}.'
            )
        # Of a run that was cut off, the time is that of its last part.
        seconds = round(time.monotonic() - begin, 1)
        done = dict(
            command=run.line,
            inputs=run.inputs,
            metrics=metrics,
            resumed=bool(known),
            seconds=seconds,
        )
        write_text(record, json.dumps(done, indent=1))
    print(f'{run.name}: {metric} {metrics[metric]:.4f} in {seconds:.0f} s', flush=True)
    return done


def unequal_classes(results: list[dict]) -> list[str]:
    """Metrics that only some runs have: of classes without truth that some predict and some not."""
    missing = [
        {k for k, v in result['metrics'].items() if isinstance(v, float) and math.isnan(v)}
        for result in results
    ]
    return sorted(set.union(*missing) - set.intersection(*missing))


def do_all(runs: list[Run], args: argparse.Namespace, stop: Event) -> list[dict]:
    """Results of all runs; what is under way is ended by the first error and by signals."""
    processes = Processes(args.jobs)
    with ThreadPoolExecutor(args.jobs) as pool:
        try:
            futures = [pool.submit(finetune, run, args.metric, processes) for run in runs]
            pending = futures
            while pending:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_EXCEPTION)
                if stop.is_set():
                    sys.exit('compare: ended by SIGTERM.')
                for future in done:
                    future.result()
            return [future.result() for future in futures]
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.end()
            if isinstance(error, RunError):
                sys.exit(f'compare: {error}')
            raise


@report_unwritable
def main() -> None:
    args = parse_args()
    # A signal that raised an error could do so before there is anybody to end the runs.
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    starts = parse_starts(args.start)
    out = Path(from_root(args.work_dir)) if args.work_dir else None
    config = Path(args.config).resolve()
    out = out or Path('work_dirs') / f'compare-{config.parent.name}-{config.stem}'
    runs = list_runs(args, out, starts)
    os.chdir(ROOT)
    results = do_all(runs, args, stop)
    values: dict[tuple[str, float], list[float]] = {}
    for run, done in zip(runs, results, strict=True):
        value = done['metrics'][args.metric] / (100 if args.percent else 1)
        values.setdefault((run.start, run.fraction), []).append(value)
    raw = [
        dict(start=run.start, fraction=run.fraction, seed=run.seed, **done)
        for run, done in zip(runs, results, strict=True)
    ]
    table = comparison_table(values)
    if unequal := unequal_classes(results):
        table += (
            f'\n\nNot every run has a value of {", ".join(unequal)}: means over classes are taken '
            'over different ones.'
        )
    write_text(out / 'results.json', json.dumps(raw, indent=1))
    write_text(out / 'table.md', table + '\n')
    plot_comparison(values, out / 'comparison.png', args.metric)
    print(f'\n{table}\n\nTable, plot and values: {out}')


if __name__ == '__main__':
    main()
