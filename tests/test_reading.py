"""Checkpoints take no more memory than they hold. Oracle: torch.load, which takes what they say."""

import io
import zipfile

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from nclr_mm.checkpoint import read_checkpoint
from nclr_mm.reading import load_checkpoint

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
    with pytest.raises(ValueError, match=r'is compressed: .*expected a checkpoint') as error:
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
    with pytest.raises(ValueError, match='is compressed'):
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
