"""Curves from mmengine's own log."""

import cv2
import numpy as np
import pytest
from mmengine.visualization import LocalVisBackend

from nclr_mm.visualization import plot_curves, read_scalars, smooth


@pytest.fixture
def log(tmp_path):
    """Written by mmengine's backend: training every 10 iterations, one validation."""
    backend = LocalVisBackend(str(tmp_path))
    assert backend.experiment is backend  # makes the file
    for step in range(10, 310, 10):
        backend.add_scalars(dict(loss=30 / step, lr=0.1, iter=step, time=0.2), step=step)
    backend.add_scalars({'camera/rot_err_median': 4.5}, step=300)
    return tmp_path / 'scalars.json'


def test_scalars_are_read(log):
    scalars = read_scalars(log)
    assert set(scalars) == {'loss', 'lr', 'camera/rot_err_median'}
    steps, values = scalars['loss']
    np.testing.assert_array_equal(steps, np.arange(10, 310, 10))
    np.testing.assert_allclose(values, 30 / steps)
    assert [x.tolist() for x in scalars['camera/rot_err_median']] == [[300], [4.5]]


def test_a_line_cut_off_is_left_out(log):
    whole = read_scalars(log)
    with log.open('a') as file:
        file.write('{"loss": 0.0')
    assert len(read_scalars(log)['loss'][0]) == len(whole['loss'][0])


def test_wrong_files_are_named(tmp_path):
    path = tmp_path / 'scalars.json'
    with pytest.raises(FileNotFoundError, match=r'scalars\.json'):
        read_scalars(path)
    path.write_text('{"loss": 1}\nnonsense\n')
    with pytest.raises(ValueError, match=r'scalars\.json, line 2'):
        read_scalars(path)
    path.write_text('[1]\n')
    with pytest.raises(ValueError, match='JSON object'):
        read_scalars(path)


def test_smooth():
    np.testing.assert_allclose(smooth(np.full(20, 3.0), 0.9), 3)
    values = np.random.default_rng(0).normal(size=30)
    np.testing.assert_array_equal(smooth(values, 0), values)
    weights = 0.8 ** np.arange(29, -1, -1)
    assert smooth(values, 0.8)[-1] == pytest.approx(np.average(values, weights=weights))
    np.testing.assert_allclose(smooth([np.nan, 2, np.nan, 2], 0.5), [np.nan, 2, 2, 2])


def test_curves_are_drawn(log, tmp_path):
    path = tmp_path / 'new' / 'curves.png'
    plot_curves(read_scalars(log), path)
    image = cv2.imread(str(path))
    assert image.shape == (280, 1260, 3)  # three axes of 4.2 x 2.8 inches at 100 dpi
    for left in range(0, 1260, 420):  # each holds blue lines
        blue, _, red = image[:, left : left + 420].transpose(2, 0, 1).astype(int)
        assert (blue - red > 80).sum() > 20
    first = path.read_bytes()
    plot_curves(read_scalars(log), path)
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ['curves.png']


@pytest.mark.parametrize(
    'kwargs, name',
    [
        (dict(names=['los']), 'los'),
        (dict(names=[]), 'no scalars'),
        (dict(smoothing=1), 'smoothing'),
        (dict(columns=0), 'columns'),
    ],
)
def test_wrong_arguments_are_named(tmp_path, kwargs, name):
    with pytest.raises(ValueError, match=name):
        plot_curves({'loss': ([1], [2])}, tmp_path / 'x.png', **kwargs)
    assert not list(tmp_path.iterdir())
