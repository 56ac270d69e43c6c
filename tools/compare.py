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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the fine-tuning')
    parser.add_argument(
        '--start',
        action='append',
        metavar='NAME=CHECKPOINT',
        required=True,
        help='pretrained weights to start from; may be repeated. Random weights come first',
    )
    parser.add_argument('--fractions', nargs='+', type=float, default=[0.001, 0.01, 0.1, 0.5, 1])
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0, 1, 2], help='also the offsets of the fractions'
    )
    parser.add_argument('--metric', default='miou', help='default: %(default)s')
    parser.add_argument('--work-dir', type=Path, help='default: work_dirs/compare-NAME')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], help='override settings in every run'
    )
    return parser.parse_args()


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


def last_value(work_dir: Path, metric: str) -> float:
    """The metric as the run's last validation logged it."""
    files = sorted(work_dir.glob('*/vis_data/scalars.json'), key=lambda p: p.stat().st_mtime)
    for path in reversed(files):
        for line in reversed(path.read_text().splitlines()):
            entry = json.loads(line)
            if metric in entry:
                return float(entry[metric])
    sys.exit(f'compare: no validation in {work_dir} logged {metric!r}.')


def finetune(
    args: argparse.Namespace, work_dir: Path, checkpoint: str | None, fraction: float, seed: int
) -> dict:
    """Run one fine-tuning unless it is done; its value, seconds and command."""
    dataset = 'train_dataloader.dataset'
    command = [
        *('tools/train.py', args.config, '--work-dir', str(work_dir), '--resume'),
        *('--cfg-options', f'randomness.seed={seed}', f'load_from={checkpoint}'),
        *(f'{dataset}.fraction={fraction}', f'{dataset}.offset={seed if fraction < 1 else 0}'),
        *args.cfg_options,
    ]
    result = work_dir / 'result.json'
    line = ' '.join(['python', *command])
    if result.is_file():
        done = json.loads(result.read_text())
        if done['command'] == line:
            print(f'done before: {work_dir.name}')
            return done
        sys.exit(f'compare: {work_dir} holds a run of another command: {done["command"]}')
    print(f'\n$ {line}', flush=True)
    start = time.monotonic()
    if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
        sys.exit(f'compare: the run {work_dir} failed: {line}')
    done = dict(command=line, value=last_value(work_dir, args.metric))
    done['seconds'] = time.monotonic() - start
    partial = result.with_suffix('.tmp')
    partial.write_text(json.dumps(done, indent=1))
    os.replace(partial, result)
    return done


def main() -> None:
    args = parse_args()
    starts = parse_starts(args.start)
    os.chdir(ROOT)
    out = args.work_dir or Path('work_dirs') / f'compare-{Path(args.config).stem}'
    from nclr_mm.visualization.comparison import comparison_table, plot_comparison
    from nclr_mm.visualization.report import write_text

    runs: dict[tuple[str, float], list[float]] = {}
    raw = []
    for fraction in args.fractions:
        for seed in args.seeds:
            for name, checkpoint in starts.items():
                work_dir = out / f'{name}-{fraction:g}-seed{seed}'
                done = finetune(args, work_dir, checkpoint, fraction, seed)
                runs.setdefault((name, fraction), []).append(done['value'])
                raw.append(dict(start=name, fraction=fraction, seed=seed, **done))
    table = comparison_table(runs)
    write_text(out / 'results.json', json.dumps(raw, indent=1))
    write_text(out / 'table.md', table + '\n')
    plot_comparison(runs, out / 'comparison.png', args.metric)
    print(f'\n{table}\n\nTable, plot and values: {out}')


if __name__ == '__main__':
    main()
