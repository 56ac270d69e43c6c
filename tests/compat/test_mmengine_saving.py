"""Files are whole or not there, and a run goes on from them. Oracle: mmengine's own backend."""

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import mmengine
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio.backends import LocalBackend
from mmengine.runner import runner, save_checkpoint

from nclr_mm.compat.mmengine_saving import newest_checkpoint

LIMIT = 100_000


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


def test_the_named_checkpoint_is_taken(run):
    (run / 'last_checkpoint').write_text(f'{run}/iter_9.pth\n')
    assert newest_checkpoint(str(run)) == f'{run}/iter_9.pth'


@pytest.mark.parametrize('content', [None, '', '/elsewhere/iter_9.pth', '{}/iter_3.pth', '{}'])
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
