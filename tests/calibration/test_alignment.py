"""Alignment of edges on scenes of boards before a wall, ray-cast and painted here."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nclr_mm.calibration import EdgeFrame, align_edges, depth_edges, pose_distance
from tests.datasets.layouts import AXES
from tests.poses import assert_near

CAM2IMG = np.array([[600.0, 0, 399.5], [0, 600, 199.5], [0, 0, 1]])
WALL = 40.0


def true_pose():
    matrix = np.eye(4)
    matrix[:3, :3] = AXES @ Rotation.from_euler('z', -2, degrees=True).as_matrix()
    matrix[:3, 3] = [0.1, -0.2, -0.3]
    return matrix


def scene(seed):
    """Points (N, 4) that a LiDAR sees of upright boards, and the image (400, 800, 3) of them."""
    rng = np.random.default_rng(seed)
    distance = rng.uniform(6, 25, 12)
    centre = np.stack([rng.uniform(-0.5, 0.5, 12), rng.uniform(-0.2, 0.2, 12)], 1)
    boards = [
        (d, *(d * c - half), *(d * c + half))
        for d, c, half in zip(distance, centre, rng.uniform(0.4, 1.2, (12, 2)))
    ]
    boards.sort(reverse=True)
    azimuth, elevation = np.meshgrid(
        np.deg2rad(np.arange(-40, 40, 0.2)), np.deg2rad(np.arange(-18, 18, 0.4)), indexing='ij'
    )
    slope = np.stack([np.tan(azimuth), np.tan(elevation) / np.cos(azimuth)], -1).reshape(-1, 2)
    depth = np.full(len(slope), WALL)
    image = np.full((400, 800, 3), 120, np.uint8)
    pose = true_pose()
    for d, y0, z0, y1, z1 in boards:
        at = slope * d
        depth[((at >= [y0, z0]) & (at <= [y1, z1])).all(1)] = d
        corners = np.array([[d, y0, z0], [d, y1, z0], [d, y1, z1], [d, y0, z1]])
        uv = (corners @ pose[:3, :3].T + pose[:3, 3]) @ CAM2IMG.T
        uv = uv[:, :2] / uv[:, 2:]
        colour = rng.integers(0, 255, 3).tolist()
        cv2.fillConvexPoly(image, np.round(uv * 16).astype(np.int32), colour, cv2.LINE_AA, 4)
    points = np.concatenate([depth[:, None], slope * depth[:, None], 0 * depth[:, None]], 1)
    return points, image


def moved(degrees, metres):
    """The true pose, turned and shifted in the camera's frame."""
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees)).as_matrix()
    motion[:3, 3] = metres
    return motion @ true_pose()


@pytest.fixture(scope='module')
def frames():
    return [scene(i) for i in range(3)]


@pytest.mark.parametrize(
    ('degrees', 'metres'),
    [([0.6, -0.3, 0.4], [0.1, 0.05, 0]), ([-0.2, 0.7, -0.3], [-0.1, 0, 0.1])],
)
def test_a_pose_that_is_off_is_brought_back(frames, degrees, metres):
    start = moved(degrees, metres)
    found = align_edges(frames, CAM2IMG, start)
    assert not found.reason and found.score > found.score_start
    before, after = (pose_distance(p, true_pose()) for p in (start, found.correction @ start))
    assert before[0] > 0.7 and before[1] > 0.1
    # A step of the LiDAR is 0.2 degrees wide and 0.4 high.
    assert after[0] < 0.1 and after[1] < 0.03


def test_the_true_pose_stays(frames):
    found = align_edges(frames, CAM2IMG, true_pose())
    rotation, translation = pose_distance(found.correction, np.eye(4))
    assert rotation < 0.1 and translation < 0.03


def test_nothing_is_gained_where_the_images_show_nothing(frames):
    blank = [(points, np.full_like(image, 90)) for points, image in frames]
    start = moved([0.5, 0, 0], [0, 0, 0])
    found = align_edges(blank, CAM2IMG, start)
    assert found.reason == 'no pose nearby lays the edges better'
    np.testing.assert_array_equal(found.correction, np.eye(4))
    assert found.score == found.score_start == 0


def test_nor_where_nothing_is_seen_by_the_camera(frames):
    behind = moved([0, 180, 0], [0, 0, 0])
    found = align_edges(frames, CAM2IMG, behind)
    assert found.reason and (found.correction == np.eye(4)).all()


def test_a_long_way_is_not_gone(frames):
    start = moved([0.6, -0.3, 0.4], [0.1, 0.05, 0])
    found = align_edges(frames, CAM2IMG, start, limits=(0.3, 0.5))
    assert found.reason.startswith('it would have been moved by 0.')
    np.testing.assert_array_equal(found.correction, np.eye(4))


def test_each_frame_has_a_pose_of_its_own(frames):
    """The rig moved between scan and image, each time otherwise; the camera is turned."""
    off = moved([0.5, -0.4, 0.2], [0, 0, 0]) @ np.linalg.inv(true_pose())
    motions = [np.eye(4) for _ in frames]
    for i, motion in enumerate(motions):
        motion[:3, 3] = [0.4 * i, 0.1 * i, 0]
    scans = [
        (points[:, :3] @ motion[:3, :3].T + motion[:3, 3], image)
        for (points, image), motion in zip(frames, motions)
    ]
    poses = np.stack([off @ true_pose() @ np.linalg.inv(motion) for motion in motions])
    found = align_edges(scans, CAM2IMG, poses)
    assert_near(found.correction @ off, np.eye(4), 0.15, 0.06)


def test_of_several_starts_the_best_is_taken(frames):
    # Too far to be brought back by itself.
    off = moved([0, 8, 0], [0, 0, 0]) @ np.linalg.inv(true_pose())
    start = off @ true_pose()
    edges = [EdgeFrame.of(*frame) for frame in frames]
    alone = align_edges(edges, CAM2IMG, start)
    assert pose_distance(alone.correction @ off, np.eye(4))[0] > 5
    near = moved([0, 0.5, 0], [0, 0, 0]) @ np.linalg.inv(start)
    found = align_edges(edges, CAM2IMG, start, [near])
    assert_near(found.correction @ off, np.eye(4), 0.1, 0.03)
    assert found.score > alone.score and found.score_start == alone.score_start


def test_without_frames():
    with pytest.raises(ValueError, match='there is no frame'):
        align_edges([], CAM2IMG, true_pose())


def test_depth_edges():
    # One row of a scan over a post 0.9 m wide and 5 m away, before a wall of 8 m; another above
    # it, of the wall alone.
    azimuth = np.deg2rad(np.arange(-12, 12, 0.2))
    rows = []
    for elevation in (0.0, np.deg2rad(0.4)):
        post = (np.abs(azimuth) < np.arctan(0.45 / 5)) & (elevation == 0)
        distance = np.where(post, 5.0, 8.0)
        rows.append(
            np.stack(
                [
                    distance * np.cos(azimuth) * np.cos(elevation),
                    distance * np.sin(azimuth) * np.cos(elevation),
                    distance * np.sin(elevation),
                ],
                1,
            )
        )
    edges, weights = depth_edges(np.concatenate(rows))
    step = np.deg2rad(0.2)
    first, last = azimuth[np.abs(azimuth) < np.arctan(0.45 / 5)][[0, -1]]
    found = np.arctan2(edges[:, 1], edges[:, 0])
    # All lie at the post's range, where it jumps by 3 m: two half a step beside it, one above each
    # of its points.
    np.testing.assert_allclose(np.linalg.norm(edges, axis=1), 5)
    beside = weights[:, 0] > 0
    np.testing.assert_allclose(
        np.sort(found[beside]), [first - step / 2, last + step / 2], atol=1e-9
    )
    np.testing.assert_allclose(edges[beside, 2], 0, atol=1e-9)
    np.testing.assert_allclose(weights[beside], [[np.sqrt(3.0), 0]] * 2)
    np.testing.assert_allclose(
        np.sort(found[~beside]), np.arange(first, last + 1e-9, step), atol=1e-9
    )
    np.testing.assert_allclose(edges[~beside, 2], 5 * np.sin(np.deg2rad(0.2)))
    np.testing.assert_allclose(weights[~beside], [[0, np.sqrt(3.0)]] * int((~beside).sum()))


def test_depth_edges_of_little():
    for points in (np.zeros((0, 4)), np.zeros((3, 4)), np.ones((1, 3))):
        edges, weights = depth_edges(points)
        assert edges.shape == (0, 3) and weights.shape == (0, 2)
