"""Drawings: marks stand where they should, images keep their size and type."""

import cv2
import numpy as np
import pytest

from nclr_mm.visualization import (
    colorize,
    draw_matches,
    draw_points,
    overlay_heatmap,
    project_overlay,
    tile,
)

GREY = np.full((60, 100, 3), 90, np.uint8)


def _changed(image, base=GREY):
    """Pixels (u, v) that differ."""
    return {(u, v) for v, u in zip(*np.nonzero((image != base).any(axis=-1)))}


def test_colorize_is_the_colour_map():
    ramp = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)
    np.testing.assert_array_equal(colorize(np.arange(256)), ramp[:, 0, ::-1])
    low, high = colorize(np.array([np.nan, np.inf]), vmin=0, vmax=1)
    np.testing.assert_array_equal(low, ramp[0, 0, ::-1])
    np.testing.assert_array_equal(high, ramp[255, 0, ::-1])
    assert colorize(np.zeros((2, 0))).shape == (2, 0, 3)
    assert (colorize(np.ones(3)) == colorize(np.ones(3))[0]).all()
    with pytest.raises(ValueError, match='colormap'):
        colorize(np.zeros(1), 'rainbowish')


def test_points_are_drawn_at_their_pixels():
    uv = np.array([[10.4, 5.0], [49.6, 30.0], [-3, 2], [99.6, 2], [np.nan, 1]])
    image = draw_points(GREY, uv, np.arange(5.0), radius=0, vmin=0, vmax=1)
    assert _changed(image) == {(10, 5), (50, 30)}
    np.testing.assert_array_equal(image[5, 10], colorize(np.array([0.0]), vmin=0, vmax=1)[0])
    np.testing.assert_array_equal(image[30, 50], colorize(np.array([1.0]), vmin=0, vmax=1)[0])
    assert (GREY == 90).all() and image.dtype == np.uint8


def test_points_have_a_radius():
    image = draw_points(GREY, np.array([[50.0, 30.0]]), np.zeros(1), radius=3)
    marks = np.array(sorted(_changed(image)))
    assert np.abs(marks - [50, 30]).max() == 3
    np.testing.assert_array_equal(marks.mean(axis=0), [50, 30])


def test_later_points_lie_on_top():
    image = draw_points(GREY, np.full((2, 2), 20.0), np.array([0.0, 1.0]), radius=2)
    np.testing.assert_array_equal(image[20, 20], colorize(np.array([0.0, 1.0]))[1])


def test_project_overlay_against_opencv():
    rng = np.random.default_rng(0)
    points = rng.uniform([-3, -2, 5], [3, 2, 15], (8, 3))
    rotation = np.array([0.1, -0.2, 0.05])
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(rotation)[0]
    pose[:3, 3] = [0.3, 0.1, 0.2]
    cam2img = np.array([[60.0, 0, 50], [0, 60, 30], [0, 0, 1]])
    uv = cv2.projectPoints(points, rotation, pose[:3, 3], cam2img, None)[0][:, 0]
    expected = {(u, v) for u, v in np.rint(uv).astype(int).tolist() if 0 <= u < 100 and 0 <= v < 60}
    behind = np.array([[0.0, 0.0, -9.0]])
    image = project_overlay(GREY, np.r_[points, behind], pose, cam2img, radius=0)
    assert _changed(image) == expected and expected


def test_project_overlay_draws_the_nearest_on_top():
    points = np.array([[0, 0, 4.0], [0, 0, 40.0]])
    cam2img = np.array([[60.0, 0, 50], [0, 60, 30], [0, 0, 1]])
    values = np.array([0.0, 1.0])
    for order in ([0, 1], [1, 0]):
        image = project_overlay(GREY, points[order], np.eye(4), cam2img, values[order])
        np.testing.assert_array_equal(image[30, 50], colorize(np.array([0.0, 1.0]))[0])
    with pytest.raises(ValueError, match='values'):
        project_overlay(GREY, points, np.eye(4), cam2img, np.zeros(3))


def test_matches_are_coloured_by_error():
    pred = np.array([[10.0, 10], [30, 10], [60, 10], [80, 40]])
    true = np.array([[10.0, 10], [30, 15], [60, 50], [np.nan, np.nan]])
    image = draw_matches(GREY, pred, true, max_error=10, radius=1)
    np.testing.assert_array_equal(image[10, 10], [0, 255, 0])
    np.testing.assert_array_equal(image[10, 30], [255, 255, 0])
    np.testing.assert_array_equal(image[10, 60], [255, 0, 0])
    np.testing.assert_array_equal(image[40, 80], [255, 0, 255])
    assert image[30, 60, 0] > 200 and image[30, 60, 1] < 90  # the line goes on to the truth
    assert (image[52:, 60] == 90).all()


def test_a_match_with_a_far_truth():
    image = draw_matches(GREY, np.array([[20.0, 30.0]]), np.array([[1e12, 30.0]]))
    assert image[30, 90, 0] > 200 and (image[30, :18] == 90).all()
    with pytest.raises(ValueError, match='uv_pred'):
        draw_matches(GREY, np.zeros((2, 2)), np.zeros((3, 2)))


def test_heatmap_cells_cover_their_pixels():
    heatmap = np.zeros((6, 10))
    heatmap[2, 3] = 1
    image = overlay_heatmap(GREY, heatmap, alpha=1)
    high = (image == colorize(np.array([1.0]), vmin=0, vmax=1)[0]).all(axis=-1)
    assert high[20:30, 30:40].all() and high.sum() == 100
    np.testing.assert_array_equal(overlay_heatmap(GREY, heatmap, alpha=0), GREY)
    with pytest.raises(ValueError, match='heatmap'):
        overlay_heatmap(GREY, np.zeros((2, 3, 4)))


def test_tile_places_the_images():
    images = [np.full((20 + i, 120, 3), 50 + 40 * i, np.uint8) for i in range(3)]
    sheet = tile(images, 2, pad=5)
    assert sheet.shape == (21 + 22 + 15, 255, 3) and sheet.dtype == np.uint8
    assert (sheet[5:25, 5:125] == 50).all() and (sheet[5:26, 130:250] == 90).all()
    assert (sheet[31:53, 5:125] == 130).all()


def test_tile_draws_titles_over_the_images():
    images = [np.full((20, 120, 3), 50, np.uint8)] * 2
    plain, titled = (
        tile(images, 2),
        tile(images, 2, ['one\ntwo lines', 'a title far too long ' * 5]),
    )
    header = titled.shape[0] - plain.shape[0]
    assert header >= 2 * 16
    assert (titled[:, :, 0] > 200).any(axis=1)[: header + 6].any()
    assert (titled[6 + header :] == plain[6:]).all()  # nothing is written over an image
    assert (titled[: 6 + header, -6:] == 24).all()  # a long title ends with its column
    np.testing.assert_array_equal(
        titled, tile(images, 2, ['one\ntwo lines', 'a title far too long ' * 5])
    )


@pytest.mark.parametrize(
    'call, name',
    [
        (lambda: tile([], 1), 'images'),
        (lambda: tile([GREY], 0), 'columns'),
        (lambda: tile([GREY], 1, ['a', 'b']), 'titles'),
        (lambda: draw_points(GREY.astype(float), np.zeros((1, 2)), np.zeros(1)), 'uint8'),
        (lambda: draw_points(GREY, np.zeros((1, 3)), np.zeros(1)), 'uv'),
        (lambda: draw_points(GREY, np.zeros((1, 2)), np.zeros(2)), 'values'),
    ],
)
def test_wrong_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
