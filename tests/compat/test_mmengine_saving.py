"""Files are whole or not there, and a run goes on from them. Oracle: mmengine's own functions."""

import errno
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.fileio.backends import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.registry import Registry
from mmengine.runner import Runner, runner, save_checkpoint
from mmengine.visualization import LocalVisBackend
from torch import nn

from nclr_mm.compat.mmengine_saving import newest_checkpoint

LIMIT = 100_000
NUMBERS = itertools.count()


@pytest.fixture
def small_files(limit_files):
    limit_files(LIMIT)


def own(name):
    """A module of mmengine as it is in its file."""
    path = Path(mmengine.__file__).parent / f'{name.replace(".", "/")}.py'
    spec = importlib.util.spec_from_file_location(f'mmengine.{name}_own', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def own_backend():
    return own('fileio.backends.local_backend').LocalBackend()


def test_the_oracle_leaves_half_a_file(tmp_path, small_files):
    path = tmp_path / 'file.pth'
    path.write_bytes(b'old')
    with pytest.raises(OSError, match='too large'):
        own_backend().put(b'x' * 2 * LIMIT, path)
    assert path.read_bytes() not in (b'old', b'x' * 2 * LIMIT)


def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path, small_files):
    path = tmp_path / 'file.pth'
    path.write_bytes(b'old')
    with pytest.raises(OSError, match=r'File too large: .*/file\.pth'):
        LocalBackend().put(b'x' * 2 * LIMIT, path)
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_checkpoints_are_saved_so(tmp_path, small_files):
    path = tmp_path / 'sub' / 'iter_1.pth'
    save_checkpoint(dict(weight=torch.ones(10)), str(path))
    assert torch.load(path)['weight'].sum() == 10
    with pytest.raises(OSError, match=r'File too large: .*/iter_1\.pth'):
        save_checkpoint(dict(weight=torch.ones(LIMIT)), str(path))
    assert torch.load(path)['weight'].sum() == 10


def test_text_and_what_is_dumped(tmp_path):
    backend = LocalBackend()
    backend.put_text('grün', tmp_path / 'text.txt')
    backend.put_text('gr\xfcn', tmp_path / 'latin.txt', encoding='latin-1')
    assert (tmp_path / 'text.txt').read_text('utf-8') == 'grün'
    assert (tmp_path / 'latin.txt').read_bytes() == b'gr\xfcn'
    mmengine.dump(dict(a=1), str(tmp_path / 'some.json'))
    assert mmengine.load(str(tmp_path / 'some.json')) == dict(a=1)


@pytest.mark.parametrize(('config', 'left'), [(Config, 'old'), (None, 'x')], ids=['ours', 'own'])
def test_configs_are_written_so(tmp_path, small_files, config, left):
    config = config or own('config.config').Config
    path = tmp_path / 'config.py'
    path.write_text('old')
    with pytest.raises(OSError, match='too large'):
        config(dict(note='x' * 2 * LIMIT)).dump(path)
    assert path.read_text()[-len(left) :] == left
    assert list(tmp_path.iterdir()) == [path]


def test_configs_that_fit(tmp_path):
    config = Config(dict(note='grün', model=dict(type='Net')))
    for name in ('config.py', 'config.json'):
        config.dump(tmp_path / name)
        assert Config.fromfile(tmp_path / name).to_dict() == config.to_dict()
    assert config.dump() == (tmp_path / 'config.py').read_text('utf-8')


KILLED = """
import os, signal, sys
import nclr_mm
from mmengine.fileio.backends import LocalBackend
path, size = sys.argv[1], int(sys.argv[2])
sync = os.fsync
def killed(number):
    sync(number)
    os.kill(os.getpid(), signal.SIGKILL)
os.fsync = killed
LocalBackend().put(b'x' * size, path)
"""


def test_pictures_are_written_so(tmp_path, small_files, monkeypatch):
    """Oracle: mmengine's backend, which says nothing of a picture that it lost."""
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    part = noise[:50, :60]
    monkeypatch.setattr('mmengine.registry.VISBACKENDS', Registry('own'))
    theirs = own('visualization.vis_backend').LocalVisBackend(str(tmp_path / 'theirs'))
    ours = LocalVisBackend(str(tmp_path / 'ours'))
    for backend in (theirs, ours):
        backend.add_image('a', part, step=3)
    theirs.add_image('b', noise)
    with pytest.raises(OSError, match=r'b_0\.png'):
        ours.add_image('b', noise)
    folders = [tmp_path / name / 'vis_image' for name in ('theirs', 'ours')]
    assert [[p.name for p in folder.iterdir()] for folder in folders] == [['a_3.png']] * 2
    for folder in folders:
        np.testing.assert_array_equal(cv2.imread(str(folder / 'a_3.png'))[..., ::-1], part)


def test_killed_before_the_name_is_given(tmp_path):
    path = tmp_path / 'iter_2.pth'
    path.write_bytes(b'old')
    done = subprocess.run([sys.executable, '-c', KILLED, str(path), '100000'], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b'old'
    LocalBackend().put(b'new', path)
    assert path.read_bytes() == b'new' and list(tmp_path.iterdir()) == [path]


@pytest.fixture
def run(tmp_path):
    for number in (2, 10, 9):
        (tmp_path / f'iter_{number}.pth').touch()
    (tmp_path / 'best_mIoU_iter_99.pth').touch()
    (tmp_path / 'iter_11.pth.tmp').touch()
    return tmp_path


@pytest.mark.parametrize('folder', ['{}', '/elsewhere'], ids=['here', 'a copy'])
def test_the_named_checkpoint_is_taken(run, folder):
    (run / 'last_checkpoint').write_text(f'{folder.format(run)}/iter_9.pth\n')
    assert newest_checkpoint(str(run)) == f'{run}/iter_9.pth'


@pytest.mark.parametrize('content', [None, '', '/elsewhere/iter_3.pth', '{}/iter_3.pth', '{}'])
def test_else_the_newest(run, content):
    if content is not None:
        (run / 'last_checkpoint').write_text(content.format(run))
    assert newest_checkpoint(str(run)) == f'{run}/iter_10.pth'


def test_no_checkpoint(tmp_path):
    assert newest_checkpoint(str(tmp_path)) is None
    assert newest_checkpoint(str(tmp_path / 'missing')) is None
    (tmp_path / 'last_checkpoint').touch()
    assert newest_checkpoint(str(tmp_path)) is None


def test_the_runner_asks_so():
    assert runner.find_latest_checkpoint is newest_checkpoint
    assert mmengine.runner.find_latest_checkpoint is newest_checkpoint


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, numbers, mode):
        loss = self.layer(torch.stack(numbers).float()).mean()
        return dict(loss=loss) if mode == 'loss' else [loss]

    def train_step(self, data, optim_wrapper):
        losses = self(data, mode='loss')
        optim_wrapper.update_params(losses['loss'])
        return losses

    def val_step(self, data):
        return self(data, mode='predict')


class Told(BaseMetric):
    """By iteration: the best are those of 1, 2, 4 and 6, and those of 1, 2, 4 and 5."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        done = MessageHub.get_current_instance().get_info('iter')
        return dict(a=[1, 3, 2, 4, 4, 5][done], b=[5, 4, 6, 3, 2, 2.5][done])


@pytest.fixture
def own_hook(monkeypatch):
    monkeypatch.setattr('mmengine.registry.HOOKS', Registry('own'))
    return own('hooks.checkpoint_hook').CheckpointHook


@pytest.fixture
def train(monkeypatch):
    """Trains with a hook, an iteration each epoch, and validates after each."""
    monkeypatch.setattr(Runner, '_log_env', lambda self, cfg: None)  # takes seconds
    # It waits two seconds at the end of a round.
    monkeypatch.setattr('mmengine.runner.loops.time', SimpleNamespace(sleep=lambda seconds: None))

    def train(folder, hook, iterations=6, by_epoch=False, resume=False, **options):
        loader = dict(
            dataset=list(torch.arange(6).view(2, 3)),
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=2,
            num_workers=0,
        )
        limit = 'max_epochs' if by_epoch else 'max_iters'
        run = Runner(
            model=Net(),
            work_dir=str(folder),
            train_dataloader=loader,
            val_dataloader=loader,
            train_cfg={'by_epoch': by_epoch, limit: iterations, 'val_interval': 1},
            val_cfg=dict(),
            val_evaluator=Evaluator([Told()]),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(checkpoint=hook(interval=1, by_epoch=by_epoch, **options)),
            resume=resume,
            default_scope='mmengine',
            experiment_name=f'saving_{next(NUMBERS)}',
        )
        run.train()
        return run

    return train


def checkpoints(folder):
    return sorted(path.name for path in folder.glob('*.pth*'))


def left(folder):
    """What a run leaves: its files, and what the last checkpoint says of them."""
    pointer = (folder / 'last_checkpoint').read_text()
    said = torch.load(pointer)['message_hub']['runtime_info']
    said = {key: said[key] for key in said if 'ckpt' in key or 'best' in key}
    if steps := said.pop('keep_ckpt_ids', None):
        # Ours says also what was to be removed next; see the killed run below.
        said['kept'] = [step for step in steps if list(folder.glob(f'[ei]*_{step}.pth'))]
    return checkpoints(folder), pointer, said


KEPT = [
    dict(),
    dict(max_keep_ckpts=1),
    dict(max_keep_ckpts=2, by_epoch=True),
    dict(max_keep_ckpts=1, save_best='a', rule='greater'),
    dict(max_keep_ckpts=1, save_best='auto', rule='greater', by_epoch=True),
    dict(max_keep_ckpts=2, save_best=['a', 'b'], rule=['greater', 'less']),
]


@pytest.mark.parametrize('options', KEPT, ids=str)
def test_a_run_leaves_what_it_leaves_with_mmengines_own_hook(tmp_path, own_hook, train, options):
    folder, found = tmp_path / 'run', []
    for hook in (own_hook, CheckpointHook):
        train(folder, hook, iterations=4, **options)
        cut = left(folder)
        resumed = train(folder, hook, resume=True, **options)
        steps = list(getattr(resumed.hooks[-1], 'keep_ckpt_ids', []))
        found.append((cut, left(folder), steps))
        folder.rename(tmp_path / hook.__module__)
    assert found[0] == found[1]
    assert len(found[0][0][0]) == len(set(found[0][0][0])) > 0


@pytest.fixture
def fill_disk(monkeypatch):
    """There is no space for a file of a name."""

    def fill(name):
        def replace(old, new):
            if Path(new).name == name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            rename(old, new)

        rename = os.replace
        monkeypatch.setattr(os, 'replace', replace)

    return fill


BEST = dict(max_keep_ckpts=1, save_best='a', rule='greater')


@pytest.mark.parametrize(
    ('full', 'lost'), [('iter_4.pth', 'iter_3.pth'), ('best_a_iter_4.pth', 'best_a_iter_2.pth')]
)
def test_the_oracle_removes_the_old_state_first(tmp_path, own_hook, train, fill_disk, full, lost):
    fill_disk(full)
    with pytest.raises(OSError, match='No space'):
        train(tmp_path, own_hook, **BEST)
    assert lost not in checkpoints(tmp_path)
    assert checkpoints(tmp_path) == [{'iter_4.pth': 'best_a_iter_2.pth'}.get(full, 'iter_4.pth')]


@pytest.mark.parametrize(
    ('full', 'states'), [('iter_4.pth', [3]), ('last_checkpoint', [1]), ('best_a_iter_4.pth', [4])]
)
def test_the_old_state_is_there_until_the_new_one_is(tmp_path, train, fill_disk, full, states):
    fill_disk(full)
    with pytest.raises(OSError, match='No space'):
        train(tmp_path, CheckpointHook, **BEST)
    best = [] if full == 'last_checkpoint' else ['best_a_iter_2.pth']
    assert checkpoints(tmp_path) == best + [f'iter_{state}.pth' for state in states]
    newest = newest_checkpoint(str(tmp_path))
    assert newest == f'{tmp_path}/iter_{states[-1]}.pth'
    assert torch.load(newest)['meta']['iter'] == states[-1]
    if full != 'last_checkpoint':
        assert (tmp_path / 'last_checkpoint').read_text() == newest


def test_without_space_for_its_name_the_new_state_is_beside_the_named_one(
    tmp_path, train, fill_disk
):
    train(tmp_path, CheckpointHook, iterations=3, max_keep_ckpts=1)
    fill_disk('last_checkpoint')
    with pytest.raises(OSError, match=r'No space left on device: .*/last_checkpoint'):
        train(tmp_path, CheckpointHook, resume=True, max_keep_ckpts=1)
    assert checkpoints(tmp_path) == ['iter_3.pth', 'iter_4.pth']
    assert newest_checkpoint(str(tmp_path)) == f'{tmp_path}/iter_3.pth'


@pytest.mark.parametrize('resumes', [True, False], ids=['ours', 'own'])
def test_what_a_killed_run_did_not_remove_goes_when_it_is_resumed(
    tmp_path, own_hook, train, monkeypatch, resumes
):
    class Killed(BaseException):
        pass

    def remove(self, path):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(LocalBackend, 'remove', remove)
        train(tmp_path, CheckpointHook, max_keep_ckpts=2)
    assert checkpoints(tmp_path) == ['iter_1.pth', 'iter_2.pth', 'iter_3.pth']
    hook = CheckpointHook if resumes else own_hook
    train(tmp_path, hook, iterations=3, resume=True, max_keep_ckpts=2)
    assert checkpoints(tmp_path) == ['iter_2.pth', 'iter_3.pth']


def test_a_copy_of_a_run_goes_on_from_its_own_files(tmp_path, train):
    """Oracle: the original, which stays as it was."""
    original, copy = tmp_path / 'original', tmp_path / 'copy'
    train(original, CheckpointHook, iterations=3, **BEST)
    before = {path.name: path.read_bytes() for path in original.glob('*.pth')}
    assert checkpoints(original) == ['best_a_iter_2.pth', 'iter_3.pth']
    shutil.copytree(original, copy)
    assert newest_checkpoint(str(copy)) == f'{copy}/iter_3.pth'
    train(copy, CheckpointHook, iterations=4, resume=True, **BEST)
    assert checkpoints(copy) == ['best_a_iter_4.pth', 'iter_4.pth']
    assert {path.name: path.read_bytes() for path in original.glob('*.pth')} == before


def test_a_best_state_of_the_same_name_stays(tmp_path, train):
    run = train(tmp_path, CheckpointHook, **BEST)
    (hook,) = (hook for hook in run.hooks if isinstance(hook, CheckpointHook))
    assert checkpoints(tmp_path) == ['best_a_iter_6.pth', 'iter_6.pth']
    hook.after_val_epoch(run, dict(a=7))
    assert checkpoints(tmp_path) == ['best_a_iter_6.pth', 'iter_6.pth']
    hook.after_val_epoch(run, dict(a=6))
    assert hook.best_ckpt_path == f'{tmp_path}/best_a_iter_6.pth'
