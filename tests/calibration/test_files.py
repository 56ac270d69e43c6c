"""Matrices from files, and files that other programs read."""

import json
import time

import cv2
import numpy as np
import pytest
import yaml
from pyquaternion import Quaternion
from scipy.spatial.transform import Rotation

from nclr_mm.calibration import (
    describe_pose,
    kitti_calib,
    nuscenes_calibrated_sensor,
    read_extrinsics,
    read_intrinsics,
    read_rig,
    ros_static_transforms,
)
from nclr_mm.datasets.converters import common

MATRIX = [[700.0, 0, 320], [0, 710, 240], [0, 0, 1]]
POSE = np.eye(4)
POSE[:3, :3] = Rotation.from_euler('ZYX', [80, -5, -88], degrees=True).as_matrix()
POSE[:3, 3] = [0.3, -0.1, 0.7]
ROS_CAMERA = """
image_width: 640
image_height: 480
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [700.0, 0.0, 320.0, 0.0, 710.0, 240.0, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.2, 0.05, 0.001, -0.002, 0.0]
"""


@pytest.mark.parametrize(
    ('content', 'name'),
    [
        (MATRIX, 'camera'),
        (np.ravel(MATRIX).tolist(), 'camera'),
        (dict(cam2img=MATRIX), 'camera'),
        (dict(camera_intrinsic=MATRIX, token='1'), 'camera'),
        (dict(fx=700, fy=710, cx=320, cy=240), 'camera'),
        (dict(front=MATRIX), 'front'),
        (dict(front=dict(fx=700, fy=710, cx=320, cy=240, distortion=[0] * 5)), 'front'),
    ],
)
def test_intrinsics(content, name, tmp_path):
    for suffix, write in (('json', json.dumps), ('yaml', yaml.safe_dump)):
        path = tmp_path / f'K.{suffix}'
        path.write_text(write(content))
        cameras = read_intrinsics(path)
        assert list(cameras) == [name]
        np.testing.assert_array_equal(cameras[name].cam2img, MATRIX)
        image = np.zeros((480, 640, 3), np.uint8)
        assert cameras[name].undistort(image) is image


def test_intrinsics_of_ros(tmp_path):
    (tmp_path / 'front.yaml').write_text(ROS_CAMERA)
    camera = read_intrinsics(tmp_path / 'front.yaml')['front']
    np.testing.assert_array_equal(camera.cam2img, MATRIX)
    np.testing.assert_array_equal(camera.distortion, [-0.2, 0.05, 0.001, -0.002, 0])


@pytest.mark.parametrize('model', ['plumb_bob', 'fisheye'])
def test_undistorting(model, tmp_path):
    """A spot drawn where OpenCV's model distorts it to lies at its pinhole place afterwards."""
    numbers = [-0.2, 0.05, 0.001, -0.002] if model == 'plumb_bob' else [0.05, -0.01, 0.002, 0.0]
    content = dict(cam2img=MATRIX, distortion=numbers, distortion_model=model)
    (tmp_path / 'K.json').write_text(json.dumps(content))
    camera = read_intrinsics(tmp_path / 'K.json')['camera']
    point = np.array([[[-0.3, 0.2, 1.0]]])
    still = np.zeros(3)
    if model == 'fisheye':
        uv, _ = cv2.fisheye.projectPoints(point, still, still, np.array(MATRIX), np.array(numbers))
    else:
        uv, _ = cv2.projectPoints(point, still, still, np.array(MATRIX), np.array(numbers))
    image = np.zeros((480, 640, 3), np.uint8)
    u, v = np.rint(uv.ravel()).astype(int)
    cv2.circle(image, (int(u), int(v)), 4, (255, 255, 255), cv2.FILLED)
    spot = np.argwhere(camera.undistort(image)[..., 0] > 127).mean(axis=0)[::-1]
    pinhole = (np.array(MATRIX) @ point.ravel())[:2]
    assert np.linalg.norm(pinhole - [u, v]) > 3
    np.testing.assert_allclose(spot, pinhole, atol=1)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('not json', 'not readable JSON or YAML'),
        ('3', 'must hold a 3x3 camera matrix'),
        ('{}', 'must hold a 3x3 camera matrix'),
        ('{"fx": 1, "fy": 1, "cx": 0}', 'cy is missing'),
        ('[[1, 2], [3, 4]]', 'must be 3x3, got 4 numbers'),
        ('{"front": {"a": 1}}', 'front has neither a camera matrix'),
        ('{"K": "text"}', 'must hold numbers'),
        ('{"K": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]}', 'is not a camera matrix'),
        ('{"fx": 1, "fy": 1, "cx": 0, "cy": 0, "D": [1, 2, 3]}', 'must hold 4 or 5 or 8'),
        (
            '{"fx": 1, "fy": 1, "cx": 0, "cy": 0, "D": [1], "distortion_model": "odd"}',
            'distortion_model must be',
        ),
        (
            '{"fx": 1, "fy": 1, "cx": 0, "cy": 0, "D": [NaN, 0, 0, 0]}',
            'D holds numbers that are not',
        ),
        (
            '{"fx": 1, "fy": 1, "cx": 0, "cy": 0, "D": [1e999, 0, 0, 0]}',
            'D holds numbers that are no',
        ),
        ('{"fx": [1, 2], "fy": [1, 2], "cx": [0, 0], "cy": [0, 0]}', 'fx must be a number, got'),
        ('{"fx": 1' + '0' * 400 + ', "fy": 1, "cx": 0, "cy": 0}', 'fx must hold numbers, got 1000'),
        (
            '{"fx": 1, "fy": 1, "cx": 0, "cy": 0, "width": 1e999, "height": 3}',
            'width holds numbers',
        ),
        (
            '{"fx": 1, "fy": 1, "cx": 0, "cy": 0, "width": 3, "height": [1]}',
            'height must be a numb',
        ),
        ('{"front": 1, "back": 2, "front": 3}', "'front' stands there twice"),
    ],
)
def test_unfit_intrinsics(content, message, tmp_path):
    path = tmp_path / 'K.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_intrinsics(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'name'),
    [
        (POSE.tolist(), 'camera'),
        (POSE[:3].tolist(), 'camera'),
        (dict(lidar2cam=POSE.tolist()), 'camera'),
        (dict(cam2lidar=np.linalg.inv(POSE).tolist()), 'camera'),
        (dict(front=POSE.tolist()), 'front'),
        (dict(cameras=dict(front=dict(lidar2cam=POSE.tolist()))), 'front'),
    ],
)
def test_extrinsics(content, name, tmp_path):
    (tmp_path / 'T.json').write_text(json.dumps(content))
    poses = read_extrinsics(tmp_path / 'T.json')
    assert list(poses) == [name]
    np.testing.assert_allclose(poses[name], POSE, atol=1e-12)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([[1, 0], [0, 1]], 'must be a 4x4 matrix'),
        ((2 * np.eye(4)).tolist(), 'is not a rigid motion'),
        (dict(front=dict(pose=1)), 'front has neither lidar2cam nor cam2lidar'),
    ],
)
def test_unfit_extrinsics(content, message, tmp_path):
    (tmp_path / 'T.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_extrinsics(tmp_path / 'T.json')


def test_parts_of_a_pose():
    parts = describe_pose(POSE)
    np.testing.assert_allclose(
        Quaternion(parts['quaternion_wxyz']).rotation_matrix, POSE[:3, :3], atol=1e-12
    )
    assert parts['euler_deg'] == pytest.approx(dict(roll=-88, pitch=-5, yaw=80))
    assert parts['translation_m'] == [0.3, -0.1, 0.7]
    json.dumps(parts)


def test_kitti(tmp_path):
    path = tmp_path / 'calib.txt'
    path.write_text(kitti_calib(np.array(MATRIX), POSE))
    values = common.read_calibration(path)
    cam2img, shift = common.fold_projection(common.calibration_matrix(values, 'P2', (3, 4), path))
    odometry = common.homogeneous(common.calibration_matrix(values, 'Tr', (3, 4), path))
    detection = common.homogeneous(
        common.calibration_matrix(values, 'R0_rect', (3, 3), path)
    ) @ common.homogeneous(common.calibration_matrix(values, 'Tr_velo_to_cam', (3, 4), path))
    np.testing.assert_allclose(cam2img, MATRIX)
    np.testing.assert_allclose(shift @ odometry, POSE, atol=1e-12)
    np.testing.assert_allclose(shift @ detection, POSE, atol=1e-12)


def test_nuscenes():
    """As nuscenes-devkit goes from a sensor to the vehicle: rotate, then translate."""
    ego = np.eye(4)
    ego[:3, :3] = Rotation.from_euler('z', 90, degrees=True).as_matrix()
    ego[:3, 3] = [0.9, 0, 1.8]
    records = nuscenes_calibrated_sensor({'FRONT': (np.array(MATRIX), POSE)}, lidar2ego=ego)
    lidar, camera = records
    assert lidar['camera_intrinsic'] == []
    assert camera['camera_intrinsic'] == MATRIX
    assert len({lidar['token'], camera['token'], lidar['sensor_token']}) == 3
    point = np.array([5.0, -2, 1])
    in_vehicle = Quaternion(lidar['rotation']).rotation_matrix @ point + lidar['translation']
    back = Quaternion(camera['rotation']).rotation_matrix.T @ (in_vehicle - camera['translation'])
    np.testing.assert_allclose(back, POSE[:3, :3] @ point + POSE[:3, 3], atol=1e-12)


def test_ros():
    (transform,) = ros_static_transforms({'front': POSE}, lidar_frame='velodyne')
    assert transform['header'] == dict(frame_id='velodyne')
    assert transform['child_frame_id'] == 'front_optical_frame'
    # ROS: the transform takes coordinates of the child to those of the parent.
    parts = transform['transform']
    quaternion = [parts['rotation'][key] for key in 'xyzw']
    shift = [parts['translation'][key] for key in 'xyz']
    point = np.array([0.5, 0.2, 6.0])
    in_lidar = Rotation.from_quat(quaternion).apply(point) + shift
    np.testing.assert_allclose(POSE[:3, :3] @ in_lidar + POSE[:3, 3], point, atol=1e-12)
    yaml.safe_dump([transform])


@pytest.mark.parametrize('suffix', ['json', 'yaml'])
def test_nested_without_end(tmp_path, suffix):
    path = tmp_path / f'deep.{suffix}'
    path.write_text('[' * 100_000 + ']' * 100_000)
    for read in (read_intrinsics, read_extrinsics, read_rig):
        with pytest.raises(ValueError, match=f'deep.{suffix} is not readable JSON or YAML'):
            read(path)
    with pytest.raises(ValueError, match=f'deep.{suffix} is not valid JSON'):
        common.read_json(path)


@pytest.mark.parametrize('suffix', ['json', 'yaml'])
def test_many_names_take_no_longer_each(tmp_path, suffix):
    """To look through all names for each of 100,000 took minutes."""
    path = tmp_path / f'many.{suffix}'
    number = 100_000 if suffix == 'json' else 3000  # PyYAML itself takes its time
    path.write_text('{' + ', '.join(f'"c{i}": 1' for i in range(number)) + '}')
    began = time.process_time()
    with pytest.raises(ValueError, match=f'many.{suffix}, c0: cam2img must be 3x3'):
        read_intrinsics(path)
    assert time.process_time() - began < 10


def test_aliases_of_yaml(tmp_path):
    """PyYAML writes them itself, for what is there twice."""
    camera = dict(cam2img=MATRIX, distortion=[0.1, 0, 0, 0])
    path = tmp_path / 'K.yaml'
    path.write_text(yaml.dump(dict(left=camera, right=dict(camera))))
    assert '*id' in path.read_text()
    found = read_intrinsics(path)
    assert list(found) == ['left', 'right']
    for intrinsics in found.values():
        np.testing.assert_array_equal(intrinsics.cam2img, MATRIX)
        assert intrinsics.distortion[0] == 0.1
    path.write_text(
        'front: &front {fx: 700, fy: 710, cx: 320, cy: 240}\nback: {<<: *front, fx: 650}'  # merges
    )
    assert read_intrinsics(path)['back'].cam2img[0, 0] == 650
    assert read_intrinsics(path)['back'].cam2img[1, 2] == 240
    path.write_text('front: &front {K: *front}')
    with pytest.raises(ValueError, match=r'line 1 has the alias \*front in what it stands for'):
        read_intrinsics(path)


def test_aliases_of_aliases(tmp_path):
    """Each line of them would double what there is to read. Oracle: PyYAML, which does it."""
    lines = ['a0: &a0 [1, 1]']
    lines += [f'a{i}: &a{i} [*a{i - 1}, *a{i - 1}]' for i in range(1, 60)]
    path = tmp_path / 'K.yaml'
    path.write_text('\n'.join([*lines, 'cam2img: *a59']))
    assert yaml.safe_load(path.read_text())['cam2img'][1][0] is not None
    for read in (read_intrinsics, read_extrinsics, read_rig):
        with pytest.raises(
            ValueError, match=r'K\.yaml is not .* line \d+ has the alias \*a\d+, with wh'
        ):
            read(path)
    path.write_text('front: &front {fx: 700, fy: 710, cx: 320, cy: 240}')  # no alias refers to it
    np.testing.assert_array_equal(read_intrinsics(path)['front'].cam2img, MATRIX)
