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
    options = dict(option.split('=', 1) for option in data(task))
    options |= {
        'train_dataloader.num_workers': 1,
        'train_cfg.max_iters': ITERS,
        'train_cfg.val_interval': 2 * ITERS,
        'default_hooks.checkpoint.interval': 1,
        'default_hooks.checkpoint.max_keep_ckpts': 2,
    }
    if task == 'pretraining':
        options['custom_hooks.0.begin'] = 2
    return options


def run(repo, data, task, folder, kills):  # noqa: F811
    arguments = [RUNS[task], str(folder), str(kills), json.dumps(options_of(data, task))]
    done = subprocess.run(
        [sys.executable, 'tests/tools/killing.py', *arguments],
        cwd=repo,
        env={**os.environ, 'OMP_NUM_THREADS': '2', 'PYTHONPATH': str(repo)},
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize('task', ['pretraining', 'segmentation'])
def test_killed_at_random_moments(repo, data, task, tmp_path):  # noqa: F811
    left_alone = run(repo, data, task, tmp_path / 'whole', 0)['runs'][0]
    killed = run(repo, data, task, tmp_path / 'killed', KILLS)
    assert len(killed['seconds']) == KILLS
    for folder in killed['runs']:
        assert state(Path(folder)) == state(Path(left_alone))
