"""Oracle: areas of polygons by shapely, and a hand-made scene for the whole evaluation."""

import numpy as np
import pytest
import shapely

from nclr_mm.compat.mmdet3d_kitti_overlaps import rotated_overlaps

SCRIPT = 'from mmdet3d.evaluation.functional.kitti_utils import rotate_iou'


def test_upstream_fault(without_workarounds):
    assert 'CudaSupportError' in without_workarounds(SCRIPT)


def polygon(box) -> shapely.Polygon:
    x, y, length, width, angle = box
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * (length / 2, width / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    return shapely.Polygon(corners @ np.array([[cos, -sin], [sin, cos]]) + (x, y))


def random_boxes(number: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    center = rng.uniform(20, 30, (number, 2))
    return np.hstack([center, rng.uniform(0.5, 5, (number, 2)), rng.uniform(-7, 7, (number, 1))])


@pytest.mark.parametrize('criterion', [-1, 0, 1, 2])
def test_overlaps_are_those_of_polygons(criterion):
    boxes, queries = random_boxes(40, 0), random_boxes(50, 1)
    boxes[:5] = queries[:5]
    common = np.array([[polygon(a).intersection(polygon(b)).area for b in queries] for a in boxes])
    area = boxes[:, 2:3] * boxes[:, 3:4]
    query_area = (queries[:, 2] * queries[:, 3])[None]
    divisor = {-1: area + query_area - common, 0: query_area, 1: area, 2: 1.0}[criterion]
    found = rotated_overlaps(boxes, queries, criterion)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, common / divisor, atol=2e-5)


def test_no_boxes():
    assert rotated_overlaps(np.zeros((0, 5)), random_boxes(3, 0)).shape == (0, 3)
    assert rotated_overlaps(random_boxes(3, 0), np.zeros((0, 5))).shape == (3, 0)
