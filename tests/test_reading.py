"""Checkpoints take no more memory than they hold. Oracle: torch.load, which takes what they say."""

import io
import pickle
import struct
import zipfile
from fractions import Fraction

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from nclr_mm.checkpoint import read_checkpoint
from nclr_mm.reading import CheckpointError, find_weights, load_checkpoint

KEY = 'state_dict'


def through_mmengine(path):
    return CheckpointLoader.load_checkpoint(str(path), map_location='cpu')[KEY]


def of_a_stream(path):
    return load_checkpoint(io.BytesIO(path.read_bytes()))[KEY]


READERS = (through_mmengine, of_a_stream, lambda path: read_checkpoint(path, KEY))
each_reader = pytest.mark.parametrize('read', READERS, ids=['mmengine', 'stream', 'ours'])


def packed(path, weight, compression):
    """Write a checkpoint, and pack it anew."""
    stream = io.BytesIO()
    torch.save({KEY: dict(weight=weight)}, stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(path, 'w', compression) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    return path


@each_reader
def test_a_compressed_archive(read, tmp_path):
    path = packed(tmp_path / 'bomb.pth', torch.zeros(1_000_000), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10_000
    assert torch.load(path)[KEY]['weight'].nbytes == 4_000_000
    with pytest.raises(
        ValueError,
        match=r'not a checkpoint of torch\.save.*it is compressed, \d+ bytes that unpack to 400\d+',
    ) as error:
        read(path)
    assert read is of_a_stream or str(path) in str(error.value)
    read(packed(path, torch.zeros(1_000_000), zipfile.ZIP_STORED))


@each_reader
def test_entries_that_lie_upon_each_other(read, tmp_path):
    """Of 50 entries each is the same part of the file."""
    path = tmp_path / 'bomb.pth'
    torch.save({KEY: dict(weight=torch.zeros(100_000))}, path)
    with zipfile.ZipFile(path, 'a') as archive:
        (one,) = (entry for entry in archive.infolist() if entry.filename.endswith('data/0'))
        archive.filelist += [one] * 50
        archive._didModify = True
    torch.load(path)
    with pytest.raises(ValueError, match='it is compressed'):
        read(path)


@each_reader
@pytest.mark.parametrize('old_format', [False, True])
def test_more_numbers_than_the_storage_has(read, old_format, tmp_path):
    path = tmp_path / 'large.pth'
    content = {KEY: dict(weight=torch.zeros(1).expand(10**11))}
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    assert path.stat().st_size < 10_000
    assert torch.load(path)[KEY]['weight'].shape == (10**11,)
    with pytest.raises(ValueError, match=r'weight of the shape \(100000000000,\) takes 4'):
        read(path)


@each_reader
def test_a_tensor_behind_lists_that_are_there_twice(read, tmp_path):
    twice = [torch.zeros(1).expand(10**11)]
    for _ in range(100):
        twice = [twice, (twice, twice)]
    torch.save({KEY: {}, 'optimizer': dict(state=twice)}, tmp_path / 'large.pth')
    with pytest.raises(ValueError, match='tensor state of the shape'):
        read(tmp_path / 'large.pth')


@each_reader
@pytest.mark.parametrize('old_format', [False, True])
def test_views_are_read(read, old_format, tmp_path):
    whole = torch.arange(24.0).reshape(4, 6)
    views = dict(
        part=whole[1:3],
        columns=whole[:, ::2],
        turned=whole.T,
        same=whole,
        parameter=torch.nn.Parameter(whole[2]),
        half=whole.half(),
        none=torch.zeros(0, 3),
        one=torch.tensor(1),
        sparse=torch.eye(3).to_sparse(),
        grid=torch.meshgrid(torch.arange(9.0), torch.arange(20.0), indexing='ij')[0],
        windows=torch.arange(9.0).unfold(0, 5, 1),
    )
    torch.save({KEY: views}, tmp_path / 'a.pth', _use_new_zipfile_serialization=not old_format)
    found = read(tmp_path / 'a.pth')
    assert list(found) == list(views)
    for name, value in views.items():
        torch.testing.assert_close(found[name], value)


@each_reader
def test_an_archive_that_is_cut_off(read, tmp_path):
    torch.save({KEY: dict(weight=torch.zeros(1000))}, tmp_path / 'whole.pth')
    path = tmp_path / 'cut.pth'
    path.write_bytes((tmp_path / 'whole.pth').read_bytes()[:-100])
    with pytest.raises(ValueError, match=r'is not a checkpoint of torch\.save, or is cut off'):
        read(path)


@each_reader
def test_a_file_of_the_old_form_that_is_cut_off(read, tmp_path):
    stream = io.BytesIO()
    content = {KEY: dict(weight=torch.zeros(1000))}
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    whole = stream.getvalue()
    path = tmp_path / 'cut.pth'
    for length in (0, 1, 50, 400, len(whole) - 100):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r'is not a checkpoint of torch\.save') as error:
            read(path)
        assert read is of_a_stream or str(path) in str(error.value)


@each_reader
def test_what_is_not_read_is_named(read, tmp_path):
    path = tmp_path / 'a.pth'
    for content, reason in (
        (np.array(['a']), 'arrays of .*U1.* are not read'),
        (Fraction(1), r'\(fractions\.Fraction\), and reading it would run code'),
    ):
        torch.save({KEY: {}, 'more': content}, path)
        with pytest.raises(CheckpointError, match=reason) as error:
            read(path)
        assert '\n' not in str(error.value) and 'cut off' not in str(error.value)
        assert read is of_a_stream or str(path) in str(error.value)


def text(value):
    return b'X' + struct.pack('<I', len(value)) + value.encode()


def archive(path, weight):
    """Write a checkpoint of which the pickle says that the weight is this."""
    stream = io.BytesIO()
    torch.save({KEY: {}}, stream)
    content = b'\x80\x02}' + text(KEY) + b'}' + text('weight') + weight + b'ss.'
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(path, 'w') as new:
        for entry in old.namelist():
            new.writestr(entry, content if entry.endswith('/data.pkl') else old.read(entry))
    return path


@each_reader
def test_a_tensor_that_is_called(read, tmp_path):
    """torch's list lets a file call the types of tensors, with a number."""
    path = archive(
        tmp_path / 'a.pth', b'ctorch\nFloatTensor\nJ' + struct.pack('<i', 10**6) + b'\x85R'
    )
    assert torch.load(path)[KEY]['weight'].shape == (10**6,)
    with pytest.raises(ValueError, match='but its tensors take 4000000'):
        read(path)


@each_reader
def test_storages_that_no_file_fills(read, tmp_path):
    """Of the old form; the list of the storages that follow is empty."""
    stream = io.BytesIO()
    torch.save({KEY: dict(weight=torch.zeros(10**6))}, stream, _use_new_zipfile_serialization=False)
    old = stream.getvalue()
    keys = old.rindex(b'\x80', 0, len(old) - 4_000_000)
    path = tmp_path / 'a.pth'
    path.write_bytes(old[:keys] + pickle.dumps([], 2))
    assert path.stat().st_size < 1000
    assert torch.load(path)[KEY]['weight'].shape == (10**6,)
    with pytest.raises(ValueError, match='but its tensors take 4000000'):
        read(path)


def key_of(levels):
    """A key that is twice a tuple, of twice a tuple, and so on."""
    parts = b')q\x00' + b'h\x00\x86q\x00' * levels
    return b'}' + parts + b'K\x01s'


@each_reader
@pytest.mark.parametrize('old_format', [False, True])
def test_keys_that_take_for_ever_to_hash(read, old_format, tmp_path):
    def write(levels):
        path = archive(tmp_path / 'a.pth', key_of(levels))
        if old_format:
            stream = io.BytesIO()
            torch.save({}, stream, _use_new_zipfile_serialization=False)
            content = zipfile.ZipFile(path).read('archive/data.pkl')
            assert stream.getvalue().count(b'}q\x00.') == 1
            path.write_bytes(stream.getvalue().replace(b'\x80\x02}q\x00.', content))
        return path

    assert len(torch.load(write(3))[KEY]['weight']) == 1
    read(write(3))
    path = write(60)
    assert path.stat().st_size < 3000
    with pytest.raises(ValueError, match=r'is cut off: its keys are tuples of tuples'):
        read(path)


@each_reader
def test_a_checkpoint_of_a_run_is_read(read, tmp_path):
    """With the kinds of objects that mmengine and optimisers store."""
    buffer = HistoryBuffer(max_length=10)
    buffer.update(1.5)
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(2)).sum().backward()
    optimizer.step()
    content = {
        KEY: layer.state_dict(),
        'optimizer': optimizer.state_dict(),
        'message_hub': dict(log_scalars={'a': buffer}, resumed_keys={('a', 1): True}),
        'meta': dict(size=torch.Size([1, 2]), dtype=torch.float16, device=torch.device('cpu')),
    }
    for old_format in (False, True):
        path = tmp_path / f'{old_format}.pth'
        torch.save(content, path, _use_new_zipfile_serialization=not old_format)
        torch.testing.assert_close(dict(read(path)), dict(content[KEY]))


def named(prefix='', value=1.0):
    """Two tensors of a network behind a prefix."""
    return {f'{prefix}conv.weight': torch.tensor(value), f'{prefix}fc.bias': torch.tensor(2.0)}


OTHER = torch.tensor(9.0)
WRAPPED = {
    'bare': (named(), ''),
    'mmengine': (dict(meta={}, state_dict=named()), ''),
    'processes': (dict(state_dict=named('module.')), 'prefix module.'),
    'compiled': (dict(state_dict=named('_orig_mod.module.')), 'prefix _orig_mod.module.'),
    'OpenPCDet': (dict(epoch=3, model_state=named()), 'model_state'),
    'DINO': (
        dict(student=named('module.backbone.', 5.0), teacher=named('backbone.')),
        'teacher, prefix backbone.',
    ),
    'MoCo': (
        dict(
            arch='r50',
            state_dict=named('module.encoder_q.') | named('module.encoder_k.', 5.0),
        ),
        'prefix module.encoder_q.',
    ),
    'Lightning': (
        dict(
            state_dict={**named('model.'), 'criterion.weight': OTHER},
            optimizer_states=[dict(state={0: dict(exp_avg=OTHER)})],
        ),
        'prefix model.',
    ),
    'averaged too': (dict(state_dict_ema=named(value=5.0), state_dict=named()), ''),
    'averaged alone': (dict(ema=dict(module=named())), 'ema.module'),
    'averaged in a field': (
        dict(ema=dict(state_dict=named(value=5.0)), net=named('net.')),
        'net, prefix net.',
    ),
    'averaged by name': (
        dict(state_dict=named('model_ema.', 5.0) | named('model.')),
        'prefix model.',
    ),
    'averaged behind a shorter prefix': (
        dict(state_dict=named('ema.', 5.0) | named('model.')),
        'prefix model.',
    ),
    'averaged first in the file': (
        dict(state_dict=named('module.encoder_k.', 5.0) | named('module.encoder_q.')),
        'prefix module.encoder_q.',
    ),
    'averaged as a target': (
        dict(state_dict=named('target.', 5.0) | named('online.')),
        'prefix online.',
    ),
    'averaged in capitals': (dict(EMA=named(value=5.0), net=named()), 'net'),
    'averaged in a usual field': (
        dict(state_dict=named('momentum_encoder.', 5.0), weights=named('base_encoder.')),
        'weights, prefix base_encoder.',
    ),
    'nested': (
        dict(checkpoint=dict(model=dict(state_dict=named()))),
        'checkpoint.model.state_dict',
    ),
    'one dict twice': (dict.fromkeys(('model', 'state_dict'), named()), ''),
    'more in another field': (
        dict(state_dict={'conv.weight': OTHER}, model=named()),
        'model',
    ),
    'at the top, beside a field': (dict(named(), state_dict={'x': OTHER}), 'no field'),
}


@pytest.mark.parametrize('kind', WRAPPED)
def test_weights_are_found_by_their_names(kind):
    content, wrapping = WRAPPED[kind]
    found = find_weights(content, {'conv.weight', 'fc.bias'}.__contains__)
    assert found.wrapping == wrapping
    assert found.tensors['conv.weight'] == 1 and found.tensors['fc.bias'] == 2
    assert found.outside == set(found.tensors) - {'conv.weight', 'fc.bias', 'x'}


def test_versions_of_modules_lose_the_prefix():
    model = torch.nn.Module()
    model.net = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2))
    content = dict(model=model.state_dict())
    found = find_weights(content, model.net.state_dict().__contains__)
    assert found.wrapping == 'model, prefix net.'
    assert found.tensors._metadata == model.net.state_dict()._metadata
    assert {'0.running_mean', '1.weight'} <= set(found.tensors)


@pytest.mark.parametrize('wrapper', ['module.', '_orig_mod.', 'module._orig_mod.'])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_wrappers_inside_names(wrapper, prefix):
    """As a model has them of which a part is distributed or compiled; `fc` is not."""
    model = torch.nn.Module()
    model.backbone = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2))
    model.fc = torch.nn.Linear(2, 2)
    own = model.state_dict()
    wrapped = torch.nn.Module()
    wrapped.fc = model.fc
    part = model.backbone
    for name in reversed(wrapper.split('.')[:-1]):
        inner, part = part, torch.nn.Module()
        part.add_module(name, inner)
    wrapped.backbone = part
    if prefix:
        inner, wrapped = wrapped, torch.nn.Module()
        wrapped.module = inner
    content = dict(state_dict=wrapped.state_dict())
    assert f'{prefix}backbone.{wrapper}1.weight' in content['state_dict']
    found = find_weights(content, own.__contains__)
    assert set(found.tensors) == set(own) and not found.outside
    assert all(torch.equal(found.tensors[name], own[name]) for name in own)
    assert found.wrapping == (prefix and f'prefix {prefix}, ') + f'without {wrapper} inside names'
    for name in ('', 'fc', 'backbone.0', 'backbone.1'):
        assert found.tensors._metadata[name] == own._metadata[name]


def test_wrappers_that_the_model_has_stay():
    """Names that are wanted as they are, and names of which the file has both forms."""
    own = {'a.module.weight', 'b.weight'}
    content = dict(state_dict={'a.module.weight': OTHER, 'b.module.weight': OTHER})
    found = find_weights(content, own.__contains__)
    assert set(found.tensors) == own
    content['state_dict']['b.weight'] = torch.tensor(1.0)
    found = find_weights(content, own.__contains__)
    assert found.tensors['b.weight'] == 1 and 'b.module.weight' in found.tensors
    assert found.wrapping == ''


def test_without_names_that_are_wanted():
    """The usual field, without what torch's wrappers add."""
    content = dict(optimizer=dict(state=dict(m=OTHER)), model=named('module._orig_mod.backbone.'))
    found = find_weights(content)
    assert set(found.tensors) == {'backbone.conv.weight', 'backbone.fc.bias'}
    assert found.wrapping == 'model, prefix module._orig_mod.'
    assert find_weights(dict(content, state_dict=named())).wrapping == ''
    assert find_weights(dict(optimizer=dict(m=OTHER))) is None
    # No name fits: as if none were wanted, in the usual field alone.
    assert find_weights(content, {'x'}.__contains__) is None
    assert set(find_weights(dict(state_dict=named('module.')), {'x'}.__contains__).tensors) == {
        *('conv.weight', 'fc.bias')
    }
    for content in ([], 3, {}, {0: OTHER}, dict(state_dict=3)):
        assert find_weights(content, {'x'}.__contains__) is None


def test_crafted_nesting_and_names_end():
    inner = named()
    inner['self'] = inner
    for _ in range(60):
        inner = dict(a=inner, b=inner)
    assert find_weights(inner, {'conv.weight'}.__contains__) is None
    name = 'a.' * 200_000 + 'conv.weight'
    assert find_weights({name: OTHER}, {'conv.weight'}.__contains__) is None
