"""Saving, resuming and loading with mmengine's runner, and what stays forbidden.

Oracles: an uninterrupted run, and torch's own refusal of crafted files.
"""

import copyreg
import pickle
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import mmdet3d
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner import checkpoint as loaders
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

import nclr_mm  # noqa: F401 (applies the workaround)

SCRIPT = """
import torch
from mmengine.logging import HistoryBuffer
torch.save(dict(message_hub=dict(loss=HistoryBuffer([1.0], [1]))), 'checkpoint.pth')
torch.load('checkpoint.pth')
"""


class Regression(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)
        nn.init.constant_(self.linear.weight, 0.5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=self.linear(torch.stack(list(inputs))).square().mean())


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([1.0, index]))


def make_runner(work_dir, **options) -> Runner:
    schedule = [dict(type='CosineAnnealingLR', T_max=8, by_epoch=False)]
    return Runner(
        Regression(),
        str(work_dir),
        train_dataloader=dict(
            dataset=Numbers(),
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=options.pop('param_scheduler', schedule),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=[dict(type='EMAHook')],
        randomness=dict(seed=0),
        default_scope='mmdet3d',
        experiment_name=f'{work_dir.parent.name}_{work_dir.name}',
        log_level='WARNING',
        **options,
    )


def test_upstream_fault(without_workarounds):
    assert 'Weights only load failed' in without_workarounds(SCRIPT)


@pytest.mark.parametrize('resume_from', ['latest', 'path'])
def test_a_resumed_run_equals_an_uninterrupted_one(resume_from, tmp_path):
    whole = make_runner(tmp_path / 'whole')
    whole.train()

    middle = tmp_path / 'whole/epoch_1.pth'
    options = dict(load_from=str(middle))
    if resume_from == 'latest':
        (tmp_path / 'resumed').mkdir()
        (tmp_path / 'resumed/last_checkpoint').write_text(str(middle))
        options = {}
    resumed = make_runner(tmp_path / 'resumed', resume=True, **options)
    resumed.train()

    assert resumed.iter == whole.iter == 8
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict())
    losses, counts = resumed.message_hub.get_scalar('train/loss').data
    np.testing.assert_array_equal(losses, whole.message_hub.get_scalar('train/loss').data[0])
    assert counts.tolist() == [1] * 8


@pytest.mark.parametrize('shape', ['cos', 'linear'])
def test_a_run_of_one_cycle_resumes(shape, tmp_path):
    cycle = dict(
        type='OneCycleLR', eta_max=0.1, total_steps=8, anneal_strategy=shape, by_epoch=False
    )
    whole = make_runner(tmp_path / 'whole', param_scheduler=[cycle])
    whole.train()
    middle = str(tmp_path / 'whole/epoch_1.pth')
    resumed = make_runner(
        tmp_path / 'resumed', param_scheduler=[cycle], resume=True, load_from=middle
    )
    resumed.train()
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict())


def test_metainfo_of_mmdet3ds_configs(tmp_path):
    """Theirs nests dicts, which are `ConfigDict`s of mmengine in the checkpoint of a run."""
    config = Config.fromfile(
        Path(mmdet3d.__file__).parent / '.mim/configs/_base_/datasets/semantickitti.py'
    )
    meta = config.train_dataloader.dataset.metainfo
    assert type(meta.seg_label_mapping) is ConfigDict
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(meta=dict(dataset_meta=meta), state_dict={}), path)
    found = CheckpointLoader.load_checkpoint(str(path))['meta']['dataset_meta']
    assert found == meta.to_dict()
    assert type(found) is type(found['seg_label_mapping']) is dict


def test_statistics_work_after_loading(tmp_path):
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(loss=HistoryBuffer([1.0, 4.0], [1, 1]), best=np.float32(0.5)), path)
    loaded = torch.load(path)
    assert loaded['loss'].mean() == loaded['loss'].statistics('mean') == 2.5
    assert all(type(loaded['loss'].statistics(n)) is np.float64 for n in ('mean', 'min', 'current'))
    assert loaded['best'] == np.float32(0.5)


@pytest.mark.parametrize(
    'written',
    [
        np.arange(6, dtype='f4').reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype='>i4'),
        np.array([True, False]),
        np.array(3),
        np.zeros((0, 3), 'f2'),
        np.float32(0.1),
        np.float16(0.5),
        np.int64(-1),
        np.bool_(True),
    ],
    ids=lambda value: f'{value.dtype}{list(value.shape)}',
)
def test_numbers_of_numpy_are_loaded_and_saved_again(written, tmp_path):
    for name in ('first', 'second'):
        torch.save(dict(value=written), tmp_path / name)
        found = torch.load(tmp_path / name)['value']
        assert isinstance(found, np.ndarray if isinstance(written, np.ndarray) else type(written))
        assert found.dtype == written.dtype.newbyteorder('=')  # numpy turns the bytes round
        np.testing.assert_array_equal(found, written)
        assert type(pickle.loads(pickle.dumps(found))) in (np.ndarray, type(written))
        written = found


class Made:
    """Pickles as a call with arguments, and a state."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


class New:
    """Pickles as `numpy.ndarray.__new__` with arguments."""

    __class__ = property(lambda self: np.ndarray)  # pickle wants that of the class named

    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return copyreg.__newobj__, (np.ndarray, *self.arguments)


RECONSTRUCT, SCALAR = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
ADDRESS = b'A' * 8
#: bytes whose field says that they are an object, and whose flags say that they are not
FIELD = (3, '|', None, ('f',), {'f': (np.dtype('O'), 0)}, 8, 1, 0)
OBJECTS = (
    Made(np.dtype, 'O'),
    Made(np.dtype, 'V8', False, True, state=FIELD),
    Made(np.dtype, 'O8', False, True, state=(3, '|', None, None, None, -1, -1, 0)),
    Made(np.dtype, 'f8', False, True, state=(3, '<', None, *FIELD[3:5], -1, -1, 0)),
    'O',
)
FLOATS = Made(np.dtype, 'f8')


def state(dtype, shape=(1,), raw=ADDRESS) -> Made:
    return Made(RECONSTRUCT, np.ndarray, (0,), b'b', state=(1, shape, dtype, False, raw))


@pytest.mark.parametrize(
    'crafted',
    [
        *(
            made
            for dtype in OBJECTS
            for made in (
                Made(np.ndarray, (1,), dtype, bytearray(ADDRESS)),
                Made(SCALAR, dtype, ADDRESS),
                New((1,), dtype, bytearray(ADDRESS)),
                state(dtype),
            )
        ),
        Made(np.ndarray, (1,), FLOATS, bytearray(ADDRESS)),
        Made(RECONSTRUCT, np.ndarray, (1,), b'O'),
        Made(SCALAR, FLOATS, ADDRESS[:4]),
        state(FLOATS, (2,)),
        state(FLOATS, (2**61,)),
        state(FLOATS, (-1,)),
        state(FLOATS, raw=[None]),
        state(FLOATS, (1,) * 65),
        state(FLOATS, 1),
        Made(bytes, 2**40),
        Made(ConfigDict, [('a', 1)]),
        Made(ConfigDict, {}, {}),
        Made(Namespace, {}),
    ],
)
def test_bytes_are_never_taken_for_addresses(crafted, tmp_path):
    """Nor is anything else made otherwise than NumPy writes it."""
    torch.save(dict(state_dict={}, crafted=crafted), tmp_path / 'checkpoint.pth')
    with pytest.raises((pickle.UnpicklingError, TypeError)):
        torch.load(tmp_path / 'checkpoint.pth')


@pytest.mark.parametrize('function', [getattr, np.dtype])
def test_messages_hold_no_text_without_end(function, tmp_path):
    """Of lists that hold another twice. Oracle: the length of the message."""
    twice = [1]
    for _ in range(60):
        twice = [twice, twice]
    torch.save(dict(crafted=Made(function, twice, twice)), tmp_path / 'checkpoint.pth')
    with pytest.raises(pickle.UnpicklingError) as error:
        torch.load(tmp_path / 'checkpoint.pth')
    assert len(str(error.value)) < 2000  # torch's own advice is most of it


def test_the_oracle_takes_bytes_for_addresses(tmp_path):
    path = tmp_path / 'checkpoint.pth'
    torch.save(Made(np.ndarray, (1,), OBJECTS[0], bytearray(ADDRESS)), path)
    script = f'import torch; print(torch.load({str(path)!r}, weights_only=False))'
    done = subprocess.run([sys.executable, '-c', script])
    assert done.returncode == -signal.SIGSEGV


class CallsPrint:
    def __reduce__(self):
        return print, ('executed',)


class ReachesGlobals:
    """What an unguarded `getattr` would give: a way to any module's globals."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


@pytest.mark.parametrize(
    'crafted', [CallsPrint(), ReachesGlobals()], ids=lambda c: type(c).__name__
)
def test_other_classes_and_attributes_are_still_refused(crafted, tmp_path, capsys):
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(state_dict={}, crafted=crafted), path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path)
    assert 'executed' not in capsys.readouterr().out


@pytest.mark.parametrize(
    'asked',
    [
        {},
        *(dict(weights_only=value) for value in (True, False, None)),
        dict(weights_only=False, mmap=True),
        dict(pickle_module=pickle, weights_only=False),
    ],
    ids=str,
)
def test_however_mmengine_asks_a_file_is_not_trusted(asked, tmp_path, capsys):
    """mmengine 0.11.0rc3 asks with `weights_only=False`."""
    weight = torch.arange(3.0)
    torch.save(dict(state_dict=dict(weight=weight)), tmp_path / 'good.pth')
    torch.save(dict(state_dict={}, crafted=CallsPrint()), tmp_path / 'crafted.pth')
    for given in (str(tmp_path / 'good.pth'), tmp_path / 'good.pth'):
        found = loaders.torch.load(given, map_location='cpu', **asked)
        assert torch.equal(found['state_dict']['weight'], weight)
    with (tmp_path / 'good.pth').open('rb') as file:
        assert torch.equal(loaders.torch.load(file, 'cpu', **asked)['state_dict']['weight'], weight)
    with pytest.raises(ValueError, match=r'crafted\.pth holds more than tensors .*print'):
        loaders.torch.load(str(tmp_path / 'crafted.pth'), map_location='cpu', **asked)
    assert 'executed' not in capsys.readouterr().out
