"""Ray casting against closed forms and OpenCV."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from nclr_mm.simulation.mesh import block, pose_of, quads
from nclr_mm.simulation.render import Caster, Frame
from nclr_mm.simulation.scene import Scene, make_scene
from nclr_mm.simulation.sensors import Camera, Lidar, kitti_rig, nuscenes_rig, rotation
from nclr_mm.simulation.textures import Layer


@pytest.fixture(scope='module')
def scene() -> Scene:
    return make_scene(1, 0, 1, 0.5)


def plane(half: float, z: float):
    corners = np.array([[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]])
    return quads(corners, Layer.CONCRETE)


def random_directions(rng: np.random.Generator, count: int) -> np.ndarray:
    rays = rng.standard_normal((count, 3))
    return (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)


def test_range_of_plane_is_height_over_sine():
    rays = random_directions(np.random.default_rng(0), 4000)
    rays[:, 2] = -np.abs(rays[:, 2])
    origin = np.array([512.0, 300.0, 1.8])
    mesh = plane(400.0, 0.0).moved(500.0, 300.0)
    hit = Caster(mesh.corners, origin).cast(origin, rays)
    expected = 1.8 / -rays[:, 2]
    inside = expected < 300
    assert inside.sum() > 3000
    np.testing.assert_allclose(hit['tfar'][inside], expected[inside], rtol=2e-5)


def test_range_of_box_is_the_slab_formula():
    rng = np.random.default_rng(1)
    rays = random_directions(rng, 20000)
    low, high = np.array([2.0, -1.0, -0.5]), np.array([5.0, 1.5, 2.0])
    mesh = block((low[0], high[0]), (low[1], high[1]), (low[2], high[2]), Layer.CONCRETE)
    hit = Caster(mesh.corners, np.zeros(3)).cast(np.zeros(3), rays)
    with np.errstate(divide='ignore'):
        a, b = low / rays, high / rays
    enter, leave = np.minimum(a, b).max(1), np.maximum(a, b).min(1)
    expected = (enter <= leave) & (enter > 0)
    assert expected.sum() > 200
    assert ((hit['primID'] >= 0) == expected).mean() > 0.9999
    both = expected & (hit['primID'] >= 0)
    np.testing.assert_allclose(hit['tfar'][both], enter[both], rtol=1e-5)


def test_blocked_by_a_roof_only():
    mesh = plane(3.0, 4.0)
    caster = Caster(mesh.corners, np.zeros(3))
    origins = np.array([[0, 0, 0], [10, 0, 0], [0, 0, 5]], np.float32)
    up = np.tile(np.array([0, 0, 1], np.float32), (3, 1))
    np.testing.assert_array_equal(caster.blocked(origins, up), [True, False, False])


def test_lidar_noise_is_two_centimetres(scene):
    lidar = Lidar('x', np.eye(4), np.radians(np.linspace(-30, -10, 32)), 1000, 80.0)
    frame = Frame(scene, [plane(100.0, -2.0)], np.zeros(3))
    sweep = frame.sweep(lidar, np.eye(4), np.random.default_rng(0))
    measured = np.linalg.norm(sweep.points, axis=1)
    expected = -2.0 / np.sin(lidar.elevations[sweep.ring])
    error = measured - expected
    assert 0.9 < len(measured) / 32000 < 1.0
    assert abs(error.mean()) < 0.001
    assert 0.019 < error.std() < 0.021
    # Rings are circles of the radius that elevation and height give.
    radius = np.hypot(sweep.points[:, 0], sweep.points[:, 1])
    expected_radius = 2.0 / np.tan(-lidar.elevations[sweep.ring])
    assert np.abs(radius - expected_radius).max() < 0.15


def test_glass_returns_nothing(scene):
    lidar = Lidar('x', np.eye(4), np.radians(np.linspace(-30, -10, 8)), 100, 80.0)
    mesh = replace(plane(100.0, -2.0), layer=np.full(2, Layer.GLASS, np.int16))
    sweep = Frame(scene, [mesh], np.zeros(3)).sweep(lidar, np.eye(4), np.random.default_rng(0))
    assert len(sweep.points) == 0


def test_camera_silhouette_is_opencv_projection(scene):
    width, height = 320, 240
    k = np.array([[250.0, 0, 163.2], [0, 260.0, 117.7], [0, 0, 1]])
    pose = np.eye(4)
    pose[:3, :3] = rotation(0.1, -0.2, 0.3)
    pose[:3, 3] = 0.5, -0.3, -6.0
    mesh = block((-1, 1.2), (-0.8, 1.0), (-0.5, 0.9), Layer.CONCRETE).labelled(11, 7)
    camera = Camera('c', np.eye(4), k, width, height)
    picture = Frame(scene, [mesh], pose[:3, 3]).photograph(camera, pose, np.random.default_rng(0))
    to_camera = np.linalg.inv(pose)
    corners = np.unique(mesh.corners.reshape(-1, 3), axis=0).astype(np.float64)
    turn, _ = cv2.Rodrigues(to_camera[:3, :3])
    pixels, _ = cv2.projectPoints(corners, turn, to_camera[:3, 3], k, None)
    hull = cv2.convexHull(pixels.astype(np.float32))
    inside = np.array(
        [
            [cv2.pointPolygonTest(hull, (float(u), float(v)), True) for u in range(width)]
            for v in range(height)
        ]
    )
    seen = picture.instance == 7
    assert seen.sum() > 3000
    # Exact up to pixels whose centre lies on the outline itself.
    assert (seen == (inside > 0))[np.abs(inside) > 0.02].all()
    assert (picture.semantic[seen] == 11).all()


def test_front_camera_looks_forward_and_up_is_up():
    for rig in (nuscenes_rig(np.random.default_rng(0)), kitti_rig(np.random.default_rng(0))):
        pose = rig.cameras[0].to_ego
        np.testing.assert_allclose(pose[:3, 2], [1, 0, 0], atol=0.1)
        np.testing.assert_allclose(pose[:3, 1], [0, 0, -1], atol=0.1)
        np.testing.assert_allclose(rig.lidar.to_ego[:3, 2], [0, 0, 1], atol=0.05)
        for sensor in (*rig.cameras, rig.lidar):
            turn = sensor.to_ego[:3, :3]
            np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
            assert np.linalg.det(turn) > 0


def test_rotation_is_opencv_axis_by_axis():
    roll, pitch, yaw = 0.3, -0.4, 1.1
    rx, ry, rz = (
        cv2.Rodrigues(np.array(v, float))[0] for v in ([roll, 0, 0], [0, pitch, 0], [0, 0, yaw])
    )
    np.testing.assert_allclose(rotation(roll, pitch, yaw), rz @ ry @ rx, atol=1e-12)


def test_pose_of_turns_left_for_positive_yaw():
    np.testing.assert_allclose(pose_of(1, 2, 3, np.pi / 2) @ [1, 0, 0, 1], [1, 3, 3, 1], atol=1e-12)
