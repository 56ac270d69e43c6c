"""What disks, processes and machines do to a run. Oracle: what is left of it, and its exit.

The full disk is one: a small one, in a namespace of its own.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import nclr_mm  # noqa: F401 (allows loading the runner's checkpoints)
from tests.proc import children
from tests.tools.conftest import environment

#: seconds within which everything that belongs to a run has ended
PATIENCE = 60

ON_A_SMALL_DISK = r"""
mkdir disk
mount -t tmpfs -o size={size} tmpfs disk
{prepare}
timeout 300 {python} {repo}/tools/train.py tiny.py --work-dir disk {options} \
    > train.log 2> error.log
code=$?
cp -r disk left
exit $code
"""


@pytest.fixture
def train_on_a_small_disk(repo, folder):
    """Train into a disk of some size until it is full; returns the exit code."""
    unshare = ['unshare', '--user', '--map-root-user', '--mount']
    if subprocess.run([*unshare, 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).returncode:
        pytest.skip('this machine allows no namespaces for users, which a small disk needs')

    def start(size: str, *options: str, prepare: str = '') -> int:
        script = ON_A_SMALL_DISK.format(
            size=size,
            prepare=prepare,
            python=sys.executable,
            repo=repo,
            options=' '.join(options),
        )
        return subprocess.run(
            [*unshare, 'bash', '-c', script], env=environment(repo, folder)
        ).returncode

    return start


@pytest.mark.slow
@pytest.mark.parametrize(
    ('size', 'interval'), [('300k', 1), ('200k', 100_000), ('150k', 1), ('120k', 7)]
)
def test_a_full_disk(train_on_a_small_disk, folder, size, interval):
    """It fills while a checkpoint, a log or the losses are written."""
    code = train_on_a_small_disk(
        *(size, '--cfg-options', 'train_cfg.max_epochs=100000'),
        *(
            f'default_hooks.checkpoint.interval={interval}',
            'default_hooks.checkpoint.max_keep_ckpts=1',
        ),
        *('default_hooks.logger.type=LoggerHook', 'default_hooks.logger.interval=1'),
    )
    assert code == 1
    error = (folder / 'error.log').read_text()
    # Above it, logging may tell that it cannot write either.
    last = error.splitlines()[-1]
    assert last.startswith('train.py: The run ended, for disk takes no more: ')
    assert 'No space left on device' in last
    checkpoints = sorted((folder / 'left').glob('*.pth'))
    assert bool(checkpoints) == (interval < 100)
    for checkpoint in checkpoints:
        assert torch.load(checkpoint)['state_dict']['linear.weight'].isfinite().all()
    if checkpoints:
        # The newest, or, where no more than that still fitted, the one before.
        named = Path((folder / 'left/last_checkpoint').read_text()).name
        assert named in [checkpoint.name for checkpoint in checkpoints]
    assert not list((folder / 'left').rglob('*.tmp'))


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_a_log_that_does_not_fit_from_the_start(repo, folder, tool):
    """Files get no larger than one KiB, as on a disk that is full."""
    program = [sys.executable, str(repo / 'tools' / tool), 'tiny.py', '--work-dir', 'out']
    # Where coverage is measured, its own file would not fit either.
    env = {k: v for k, v in environment(repo, folder).items() if not k.startswith('COVERAGE')}
    done = subprocess.run(
        ['bash', '-c', 'ulimit -f 1 && exec "$@"', 'bash', *program],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f'{tool}: The run ended, for out takes no more: [Errno 27] File too large. What was saved '
        'before is whole; once that is mended, train.py goes on with --resume.\n'
    )
    left = [path for path in folder.glob('out/**/*') if not path.is_dir()]
    assert [path.suffix for path in left] == ['.log']


REMOVING = """
import shutil
from mmdet3d.registry import HOOKS
from mmengine.hooks import Hook


@HOOKS.register_module()
class Removing(Hook):
    def after_train_epoch(self, runner):
        shutil.rmtree(f'{runner.log_dir}/vis_data')
"""


def test_a_folder_that_goes_away_while_a_run_writes_into_it(run, folder):
    with open(folder / 'tiny_components.py', 'a') as components:
        components.write(REMOVING)
    with open(folder / 'tiny.py', 'a') as config:
        config.write(
            "custom_hooks = [dict(type='Removing')]\n"
            "default_hooks = dict(logger=dict(type='LoggerHook', interval=1))\n"
        )
    done = run('train.py', 'tiny.py', '--work-dir', 'out')
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith('train.py: The run ended, for a file in out cannot be used: ')
    assert re.search(r'No such file or directory: .*vis_data/.*\.json', last)
    assert 'Traceback' not in done.stderr
    assert torch.load(folder / 'out/epoch_1.pth')['state_dict']['linear.weight'].isfinite().all()


@pytest.mark.slow
def test_a_disk_that_is_full_when_the_config_is_written(train_on_a_small_disk, folder):
    assert train_on_a_small_disk('8k') == 1  # the log takes more than half of it
    (error,) = (folder / 'error.log').read_text().splitlines()
    assert error.startswith('train.py: The run ended, for disk takes no more: ')
    assert re.search(r'No space left on device: .*vis_data/config\.py', error)
    assert [path.suffix for path in (folder / 'left').glob('**/*.*')] == ['.log']


@pytest.mark.slow
def test_a_work_directory_that_cannot_be_written(train_on_a_small_disk, folder):
    code = train_on_a_small_disk('1m', prepare='mount -o remount,ro disk')
    assert code == 2
    error = (folder / 'error.log').read_text()
    assert error == 'train.py: The work directory disk cannot be written.\n'


def test_without_tensorboard(repo, folder):
    (folder / 'sitecustomize.py').write_text("import sys; sys.modules['tensorboard'] = None")
    with open(folder / 'tiny.py', 'a') as config:
        config.write(
            "visualizer = dict(type='mmengine.Visualizer', vis_backends=["
            "dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])\n"
        )
    # An interpreter of its own, which reads sitecustomize.
    done = subprocess.run(
        [sys.executable, str(repo / 'tools/train.py'), 'tiny.py'],
        env=environment(repo, folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 'TensorBoard is not installed' in done.stdout + done.stderr
    assert (folder / 'work_dirs/tiny/epoch_2.pth').is_file()
    assert len(list(folder.glob('work_dirs/tiny/*/vis_data/scalars.json'))) == 1


def commands(pids: list[int]) -> dict[int, str]:
    return {pid: open(f'/proc/{pid}/cmdline').read().replace('\0', ' ') for pid in pids}


def wait_for(condition, seconds: float):
    """What the condition gives, once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.1)
    raise TimeoutError(f'waited for {condition} for {seconds} s')


def start_long_run(repo, folder, *program: str) -> subprocess.Popen:
    options = ['--work-dir', 'out', '--cfg-options', 'train_cfg.max_epochs=1000000']
    with open(folder / 'all.log', 'w') as log:
        return subprocess.Popen(
            [*program, *options, 'default_hooks.checkpoint.max_keep_ckpts=2']
            + ['train_dataloader.num_workers=1', 'train_dataloader.persistent_workers=True'],
            env=environment(repo, folder),
            stdout=log,
            stderr=log,
        )


def check_last_state(folder) -> None:
    """The checkpoint that the run would go on from is whole."""
    name = (folder / 'out/last_checkpoint').read_text()
    assert torch.load(name)['state_dict']['linear.weight'].isfinite().all()


@pytest.mark.slow
def test_a_loader_worker_that_is_killed_ends_the_run(repo, folder):
    train = start_long_run(repo, folder, sys.executable, str(repo / 'tools/train.py'), 'tiny.py')
    try:
        wait_for(lambda: list(folder.glob('out/epoch_*.pth')), 120)
        (worker,) = children(train.pid)
        os.kill(worker, signal.SIGKILL)
        assert train.wait(PATIENCE) not in (0, None)
    finally:
        train.kill()
    assert 'killed by signal: Killed' in (folder / 'all.log').read_text()
    check_last_state(folder)


@pytest.mark.slow
@pytest.mark.parametrize('victim', [0, 1])
def test_a_process_of_two_that_is_killed_ends_both(repo, folder, victim):
    script = str(repo / 'tools/dist_train.sh')
    launcher = start_long_run(repo, folder, 'bash', script, 'tiny.py', '2')
    try:
        wait_for(lambda: list(folder.glob('out/epoch_*.pth')), 200)
        (torchrun,) = children(launcher.pid)
        trainers = sorted(
            pid for pid, text in commands(children(torchrun)).items() if 'train.py' in text
        )
        assert len(trainers) == 2
        everyone = [torchrun, *trainers, *(c for pid in trainers for c in children(pid))]
        os.kill(trainers[victim], signal.SIGKILL)
        assert launcher.wait(PATIENCE) != 0
        wait_for(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in everyone), PATIENCE)
    finally:
        launcher.kill()
    assert 'Signal 9 (SIGKILL)' in (folder / 'all.log').read_text()
    check_last_state(folder)
