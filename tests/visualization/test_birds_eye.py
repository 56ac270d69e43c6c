"""Scans and boxes from above."""

import numpy as np
import pytest
import torch
from mmdet3d.structures import LiDARInstance3DBoxes

from nclr_mm.visualization.birds_eye import birds_eye, class_colors, instance_colors

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_x_is_up_and_y_to_the_left():
    points = np.array([[20.0, 0, 0], [0, 20, 0], [0, -20, 0], [-20, 0, 0], [99, 0, 0]])
    colors = np.array([RED, GREEN, BLUE, (9, 9, 9), (255, 255, 255)])
    image = birds_eye(points, colors, size=420)
    assert image.shape == (420, 420, 3)

    def place(color):
        return np.argwhere((image == color).all(axis=-1)).mean(axis=0)

    # A margin of a metre: 10 pixels a metre, 21 metres to each side.
    np.testing.assert_allclose(place(RED), [10, 210], atol=1)
    np.testing.assert_allclose(place(GREEN), [210, 10], atol=1)
    np.testing.assert_allclose(place(BLUE), [210, 410], atol=1)
    assert not (image == 255).all(axis=-1).any()  # out of reach


def test_the_highest_point_is_on_top():
    points = np.array([[0.0, 0, 2], [0, 0, 1], [5, 5, 0]])
    image = birds_eye(points, np.array([RED, GREEN, BLUE]))
    assert (image == RED).all(axis=-1).any() and not (image == GREEN).all(axis=-1).any()


def test_a_box_and_its_front():
    corners = LiDARInstance3DBoxes(torch.tensor([[10.0, 0, 0, 4, 2, 1.5, 0]])).corners.numpy()
    points = np.array([[0.0, -10, 0], [20, 10, 0]])
    image = birds_eye(points, np.array(BLUE), size=440, boxes={RED: corners})
    drawn = np.argwhere(image[..., 0] > 150)
    # 20 pixels a metre, high corner at (21, 11): x from 8 to 12 is rows 180 to 260.
    np.testing.assert_allclose(drawn.min(axis=0), [180, 200], atol=2)
    np.testing.assert_allclose(drawn.max(axis=0), [260, 240], atol=2)
    middle = image[:, 218:222, 0].max(axis=1) > 150
    assert middle[190:215].all() and not middle[225:255].any()  # the line leads to the front


def test_colours_of_classes_and_objects():
    np.testing.assert_array_equal(
        class_colors(np.array([1, 0, 2, -1]), [RED, GREEN]),
        [GREEN, RED, (90, 90, 90), (90, 90, 90)],
    )
    colors = instance_colors(np.array([0, 1, 2, 3, 1]))
    assert (colors[0] == 60).all()
    np.testing.assert_array_equal(colors[1], colors[4])
    assert len({tuple(c) for c in colors.tolist()}) == 4


def test_nothing_to_draw_and_unfit_sizes():
    assert birds_eye(np.zeros((0, 3)), np.array(RED), size=50).shape == (50, 50, 3)
    with pytest.raises(ValueError, match='must be positive'):
        birds_eye(np.zeros((1, 3)), np.array(RED), reach=0)
