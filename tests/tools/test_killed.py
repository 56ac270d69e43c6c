"""Runs that are killed again and again end as one that was left alone. Oracle: that run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.test_reproducible import ITERS, RUNS, data, state  # noqa: F401 (a fixture)

KILLS = 50


def options_of(data, task):  # noqa: F811
    return [
        *data(task),
        'train_dataloader.num_workers=1',
        f'train_cfg.max_iters={ITERS}',
        f'train_cfg.val_begin={ITERS + 1}',  # never
        'default_hooks.checkpoint.interval=1',
        'default_hooks.checkpoint.max_keep_ckpts=1',
        'default_hooks.logger.interval=1',
        *(['custom_hooks.0.begin=2'] if task == 'pretraining' else []),
    ]


def run(repo, data, task, folder, kills):  # noqa: F811
    arguments = [RUNS[task], str(folder), str(kills), *options_of(data, task)]
    done = subprocess.run(
        [sys.executable, 'tests/tools/killing.py', *arguments],
        cwd=repo,
        env={**os.environ, 'OMP_NUM_THREADS': '2', 'PYTHONPATH': str(repo)},
        capture_output=True,
        text=True,
        timeout=7200,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize('task', ['pretraining', 'segmentation', 'SECOND'])
def test_killed_at_random_moments(repo, data, task, tmp_path):  # noqa: F811
    left_alone = run(repo, data, task, tmp_path / 'whole', 0)
    assert left_alone['began'] == [0] and not left_alone['kills']
    (whole,) = left_alone['runs']
    killed = run(repo, data, task, tmp_path / 'killed', KILLS)
    assert len(killed['kills']) == KILLS
    # Each start went on from the last state (killing.py), which some had.
    assert sum(iteration > 0 for iteration in killed['began']) >= KILLS // 5
    cut = [name for kill in killed['kills'] for name in kill['cut']]
    assert any(name.startswith('iter_') for name in cut) and 'last_checkpoint.tmp' in cut
    for folder in map(Path, killed['runs']):
        assert state(folder) == state(Path(whole))
        assert [path.name for path in folder.glob('*.pth*')] == [f'iter_{ITERS}.pth']
