"""Colours of features."""

import numpy as np
import pytest

from nclr_mm.visualization import feature_colors


def test_like_features_have_like_colours():
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(4, 16)) * 5  # four kinds span three directions
    cells = kinds[rng.integers(4, size=(6, 8))] + rng.normal(size=(6, 8, 16)) * 0.01
    points = kinds[[0, 0, 1, 2]] + rng.normal(size=(4, 16)) * 0.01
    of_cells, of_points = feature_colors(cells, points)
    assert of_cells.shape == (6, 8, 3) and of_cells.dtype == np.uint8
    assert of_points.shape == (4, 3)
    same = np.abs(of_points[0].astype(int) - of_points[1]).max()
    other = np.abs(of_points[0].astype(int) - of_points[2]).max()
    assert same < 20 < 100 < other
    # A cell of the kind of a point has its colour, in the other set too.
    nearest = np.argmin(np.linalg.norm(cells - points[3], axis=-1))
    colour = of_cells.reshape(-1, 3)[nearest].astype(int)
    assert np.abs(colour - of_points[3]).max() < 20


def test_the_main_component_is_red():
    values = np.zeros((101, 5))
    values[:, 3] = np.linspace(0, 1, 101) ** 2
    (colors,) = feature_colors(values)
    assert colors[0, 0] == 0 and colors[-1, 0] == 255
    assert (np.diff(colors[:, 0].astype(int)) >= 0).all()


@pytest.mark.parametrize('shapes', [[(5, 4), (5, 6)], [(5, 2)], [(1, 4), (1, 4)]])
def test_unfit_features(shapes):
    with pytest.raises(ValueError, match='features must be sets'):
        feature_colors(*(np.ones(shape) for shape in shapes))
