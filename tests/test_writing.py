"""Files of results are whole or not there. Oracle: what is in the folder."""

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from nclr_mm.calibration.rig import KeptMatches
from nclr_mm.checkpoint import publish
from nclr_mm.datasets.converters.common import write_infos
from nclr_mm.evaluation.submissions import SubmissionWriter
from nclr_mm.visualization import save_image
from nclr_mm.visualization.curves import save_figure
from nclr_mm.visualization.report import write_text
from nclr_mm.writing import UnwritableError, write_whole

LIMIT = 10_000
NOISE = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)


def test_folders_are_made_and_files_replaced(tmp_path):
    path = tmp_path / 'new' / 'one.bin'
    for content in (b'old', b'', b'longer than before'):
        assert write_whole(path, content) == path
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def write_figure(path):
    figure = Figure()
    figure.figimage(NOISE)
    save_figure(figure, path)


def write_matches(path):
    kept = KeptMatches(per_image=1000)
    kept.add(0, [(np.ones((1000, 3)), np.ones((1000, 2)))])
    kept.save(path, {})


def write_labels(path, **options):
    sample = dict(lidar_path='sequences/08/velodyne/name.bin', lidar_token='name')
    writer = SubmissionWriter(str(path.parent), **options)
    classes = NOISE.reshape(-1) % 16
    return writer.write(sample, classes, classes.astype(int), list(range(16)))


WRITERS = {
    'bytes': lambda path: write_whole(path, bytes(2 * LIMIT)),
    'text': lambda path: write_text(path, 'x' * 2 * LIMIT),
    'png': lambda path: save_image(path.with_suffix('.png'), NOISE),
    'jpg': lambda path: save_image(path.with_suffix('.jpg'), NOISE),
    'figure': lambda path: write_figure(path.with_suffix('.png')),
    'infos': lambda path: write_infos(path, {}, [dict(text='x' * 2 * LIMIT)]),
    'matches': write_matches,
    'semantickitti': lambda path: write_labels(path, form='semantickitti'),
    'nuscenes': lambda path: write_labels(path, form='nuscenes', split='test'),
}


@pytest.mark.parametrize('name', WRITERS)
def test_what_does_not_fit_leaves_nothing(tmp_path, name, limit_files):
    limit_files(LIMIT)
    with pytest.raises(UnwritableError, match='cannot be written: File too large') as error:
        WRITERS[name](tmp_path / 'name')
    assert error.value.errno == errno.EFBIG
    assert f'] {tmp_path}/' in str(error.value) and '/.' not in str(error.value)
    assert [path for path in tmp_path.rglob('*') if not path.is_dir()] == []


@pytest.mark.parametrize('name', WRITERS)
def test_where_it_fits_it_is_there(tmp_path, name):
    WRITERS[name](tmp_path / 'name')
    (path,) = (path for path in tmp_path.rglob('*') if not path.is_dir())
    assert path.stat().st_size > LIMIT and path.name.startswith('name')


def test_the_old_file_stays(tmp_path, limit_files):
    path = write_whole(tmp_path / 'file', b'old')
    limit_files(LIMIT)
    with pytest.raises(UnwritableError):
        write_whole(path, bytes(2 * LIMIT))
    assert path.read_bytes() == b'old' and list(tmp_path.iterdir()) == [path]


def test_a_file_among_the_folders(tmp_path):
    write_whole(tmp_path / 'file', b'')
    with pytest.raises(UnwritableError, match=r'file/name cannot be written: File exists'):
        write_whole(tmp_path / 'file/name', b'')


def test_weights_that_do_not_fit(tmp_path, limit_files):
    torch.save(dict(state_dict=dict(weight=torch.ones(LIMIT))), tmp_path / 'run.pth')
    limit_files(LIMIT)
    with pytest.raises(UnwritableError, match=r'small-[0-9a-f]{8}\.pth cannot be written'):
        publish(tmp_path / 'run.pth', tmp_path / 'small.pth')
    assert [path.name for path in tmp_path.iterdir()] == ['run.pth']


def test_what_stands_under_the_name_stays_what_it_is(tmp_path):
    """But its content: a link still leads to the file, and the mode is kept."""
    target, link = tmp_path / 'folder/target', tmp_path / 'link'
    target.parent.mkdir()
    target.write_bytes(b'old')
    target.chmod(0o600)
    link.symlink_to(target)
    assert write_whole(link, b'new') == link
    assert link.is_symlink() and target.read_bytes() == b'new'
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    long = tmp_path / ('x' * 255)
    assert write_whole(long, b'new').read_bytes() == b'new'
    with pytest.raises(UnwritableError, match='folder cannot be written'):
        write_whole(target.parent, b'new')
    assert [p.name for p in sorted(tmp_path.rglob('*'))] == ['folder', 'target', 'link', long.name]


def test_pipes_are_written_to(tmp_path):
    path = tmp_path / 'pipe'
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as reader:
        content = reader.submit(path.read_bytes)
        write_whole(path, b'new')
        assert content.result(timeout=60) == b'new'
    assert path.is_fifo()


def test_threads_may_write_one_file(tmp_path):
    path = tmp_path / 'file'
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: write_whole(path, bytes([i % 256]) * 100), range(500)))
    assert len(set(path.read_bytes())) == 1
    assert list(tmp_path.iterdir()) == [path]
