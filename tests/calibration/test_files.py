"""Matrices from files, and files that other programs read."""

import json
import re
import time

import cv2
import numpy as np
import pytest
import yaml
from pyquaternion import Quaternion
from scipy.spatial.transform import Rotation

from nclr_mm.calibration import (
    Intrinsics,
    describe_pose,
    kitti_calib,
    nuscenes_calibrated_sensor,
    read_drive,
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


PINHOLE = dict(fx=700, fy=710, cx=320, cy=240)
LENS = [-0.2, 0.05, 0.001, -0.002]
KALIBR = dict(
    camera_model='pinhole',
    intrinsics=[700, 710, 320, 240],
    distortion_model='equidistant',
    distortion_coeffs=LENS,
    resolution=[640, 480],
    T_cam_imu=np.eye(4).tolist(),
    T_cn_cnm1=np.eye(4).tolist(),
    rostopic='/cam0/image_raw',
    timeshift_cam_imu=0.01,
    cam_overlaps=[1],
)
ROS_2 = dict(
    header=dict(frame_id='front'),
    height=480,
    width=640,
    distortion_model='rational_polynomial',
    d=[0.1, -0.2, 0.001, 0.002, 0.3, 0.4, -0.5, 0.6],
    k=np.ravel(MATRIX).tolist(),
    r=np.eye(3).ravel().tolist(),
    p=np.eye(4)[:3].ravel().tolist(),
    binning_x=0,
    binning_y=0,
    roi=dict(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
)


@pytest.mark.parametrize(
    ('content', 'lens', 'fisheye'),
    [
        (dict(PINHOLE, distortion_coeffs=LENS), LENS, False),
        (dict(cam2img=MATRIX, dist_coeffs=dict(rows=1, cols=4, data=LENS)), LENS, False),
        (dict(cameraMatrix=MATRIX, distCoeffs=[LENS]), LENS, False),
        (dict(PINHOLE, k1=-0.2, k2=0.05, p1=0.001, p2=-0.002), LENS, False),
        (dict(PINHOLE, distortion=dict(k1=-0.2, p2=-0.002)), [-0.2, 0, 0, -0.002], False),
        (dict(PINHOLE, k6=0.5), [0, 0, 0, 0, 0, 0, 0, 0.5], False),
        (dict(intrinsics=PINHOLE, k3=0.5), [0, 0, 0, 0, 0.5], False),
        (dict(PINHOLE, K=MATRIX, D=LENS, k1=-0.2, model='radial-tangential'), LENS, False),
        (dict(PINHOLE, D=LENS, fisheye_model=1), LENS, True),
        (dict(PINHOLE, k1=0.1, k2=0.2, k3=0.3, k4=0.4, model='KB4'), [0.1, 0.2, 0.3, 0.4], True),
        (dict(PINHOLE, distortion_model='equidistant', D=[]), [0] * 4, True),
        (KALIBR, LENS, True),
        (ROS_2, ROS_2['d'], False),
        (
            dict(model='OPENCV', width=640, height=480, params=[700, 710, 320.5, 240.5, *LENS]),
            LENS,
            False,
        ),
        (dict(model='OPENCV_FISHEYE', params=[700, 710, 320.5, 240.5, *LENS]), LENS, True),
        (dict(model='PINHOLE', params=[700, 710, 320.5, 240.5]), [], False),
        (dict(PINHOLE, distortion=None), [], False),
        (dict(PINHOLE, distortion=[], distortion_model='none'), [], False),
        (dict(PINHOLE, D=[0] * 6), [], False),
    ],
)
def test_lenses_of_other_programs(content, lens, fisheye, tmp_path):
    """The conventions of Kalibr, ROS and OpenCV; of COLMAP the first pixel's centre is at 0.5."""
    path = tmp_path / 'K.yaml'
    path.write_text(yaml.safe_dump(content))
    (camera,) = read_intrinsics(path).values()
    np.testing.assert_array_equal(camera.cam2img, MATRIX)
    assert camera.distortion.tolist() == lens
    assert camera.fisheye == fisheye
    known = {'width', 'resolution'} & content.keys()
    assert camera.size == ((640, 480) if known else None)


def test_several_cameras_of_other_programs(tmp_path):
    (tmp_path / 'chain.yaml').write_text(yaml.safe_dump(dict(cam0=KALIBR, cam1=KALIBR)))
    assert list(read_intrinsics(tmp_path / 'chain.yaml')) == ['cam0', 'cam1']
    (tmp_path / 'cameras.txt').write_text(
        '# Camera list\n1 SIMPLE_RADIAL 640 480 700 320.5 240.5 0.1\n2 PINHOLE 8 6 4 5 3.5 2.5\n'
    )
    first, second = read_intrinsics(tmp_path / 'cameras.txt').values()
    assert first.cam2img.tolist() == [[700, 0, 320], [0, 700, 240], [0, 0, 1]]
    assert first.distortion.tolist() == [0.1, 0, 0, 0] and first.size == (640, 480)
    assert second.cam2img.tolist() == [[4, 0, 3], [0, 5, 2], [0, 0, 1]]


@pytest.mark.parametrize('suffix', ['yml', 'xml', 'json'])
@pytest.mark.parametrize('number', [5, 8, 14])
def test_what_opencv_writes(suffix, number, tmp_path):
    lens = np.random.default_rng(number).normal(size=(1, number))
    file = cv2.FileStorage(str(tmp_path / f'K.{suffix}'), cv2.FILE_STORAGE_WRITE)
    file.write('calibration_time', 'Tue Dec  1 12:00:00 2026')
    file.write('image_width', 640)
    file.write('image_height', 480)
    file.write('flags', 0)
    file.write('fisheye_model', 0)
    file.write('camera_matrix', np.array(MATRIX))
    file.write('distortion_coefficients', lens)
    file.write('avg_reprojection_error', 0.3)
    file.write('per_view_reprojection_errors', np.ones((3, 1), np.float32))
    file.write('image_points', np.ones((2, 3, 2), np.float32))
    file.release()
    (camera,) = read_intrinsics(tmp_path / f'K.{suffix}').values()
    np.testing.assert_array_equal(camera.cam2img, MATRIX)
    np.testing.assert_allclose(camera.distortion, lens[0], rtol=1e-15)
    assert camera.size == (640, 480) and not camera.fisheye


@pytest.mark.parametrize('suffix', ['yml', 'xml', 'json'])
def test_what_opencv_writes_of_two_cameras(suffix, tmp_path):
    matrices = {'M1': MATRIX, 'M2': [[500.0, 0, 300], [0, 500, 200], [0, 0, 1]]}
    file = cv2.FileStorage(str(tmp_path / f'K.{suffix}'), cv2.FILE_STORAGE_WRITE)
    for number, (name, matrix) in enumerate(matrices.items(), 1):
        file.write(name, np.array(matrix))
        file.write(f'D{number}', number * np.array([LENS]))
    for name, shape in dict(R=(3, 3), T=(3, 1), R1=(3, 3), P1=(3, 4), Q=(4, 4)).items():
        file.write(name, np.eye(*shape))
    file.release()
    cameras = read_intrinsics(tmp_path / f'K.{suffix}')
    assert list(cameras) == ['M1', 'M2']
    for number, (name, matrix) in enumerate(matrices.items(), 1):
        np.testing.assert_array_equal(cameras[name].cam2img, matrix)
        np.testing.assert_allclose(cameras[name].distortion, np.multiply(number, LENS))
    file = cv2.FileStorage(str(tmp_path / f'T.{suffix}'), cv2.FILE_STORAGE_WRITE)
    file.write('front', POSE)
    file.release()
    np.testing.assert_allclose(read_extrinsics(tmp_path / f'T.{suffix}')['front'], POSE)


@pytest.mark.parametrize('fisheye', [False, True])
def test_undistorting_with_skew(fisheye):
    """Each pixel shows where a lens with skew, by the formulas of OpenCV's manual, sees its ray."""
    matrix, lens = np.array([[600.0, 8, 320], [0, 610, 240], [0, 0, 1]]), np.array(LENS)
    u, v = np.meshgrid(np.arange(640), np.arange(480))
    y = (v - 240) / 610
    x = (u - 320 - 8 * y) / 600
    r = np.hypot(x, y) + 1e-12
    if fisheye:
        theta = np.arctan(r)
        scale = theta * (1 + sum(k * theta ** (2 * i) for i, k in enumerate(lens, 1))) / r
        x, y = x * scale, y * scale
    else:
        k1, k2, p1, p2 = lens
        radial = 1 + k1 * r**2 + k2 * r**4
        x, y = (
            x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
            y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
        )
    seen = np.stack([600 * x + 8 * y + 320, 610 * y + 240])
    inside = (seen.min(0) > 1) & (seen[0] < 638) & (seen[1] < 478)
    assert inside.mean() > 0.7
    raw = np.stack([u, v], axis=-1).astype(np.float32)  # pixels that say where they are
    found = Intrinsics(matrix, lens, fisheye).undistort(raw)
    error = np.abs(found - np.moveaxis(seen, 0, -1))[inside]
    assert error.max() < 0.02  # of OpenCV's maps 1/64 pixel


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
        *[
            (json.dumps(dict(PINHOLE, **more)), message)
            for more, message in [
                (dict(distorsion=LENS), "'distorsion' is not a known key .*, but 'distortion' is"),
                (dict(distortion=dict(a1=1)), r"'distortion\.a1' is not a known key"),
                (dict(distortion=dict(data=LENS, lens='x')), r"'distortion\.\w+' is not a known"),
                (dict(tx=0.1), "'tx' is not a known key"),
                (dict(K=[[701, 0, 320], [0, 710, 240], [0, 0, 1]]), 'fx and K disagree about fx'),
                (dict(D=LENS, k1=0.1), 'k1 and D disagree about k1: 0.1 and -0.2'),
                (dict(D=[0] * 5, k1=0.1), 'k1 and D disagree about k1: 0.1 and 0'),
                (dict(width=640, image_width=641), 'width and image_width disagree'),
                (dict(D=LENS, distortion_model='none'), 'D is not 0, but the lens is none'),
                (dict(D=LENS, model='fov'), "model must be plumb_bob, .*, got 'fov'"),
                (dict(p1=1, model='fisheye'), 'p1 is not 0, but the lens is fisheye'),
                (dict(D=[1] * 5, model='fisheye'), 'D .fisheye. must hold 4 numbers, got 5'),
                (
                    dict(camera_model='fisheye', distortion_model='radtan'),
                    'disagree about the lens',
                ),
                (
                    dict(k1=0.1, k2=0, k3=0, k4=0),
                    'k1 to k4 without p1 and p2 need a distortion_mod',
                ),
                (dict(k1=None, D=[None] * 4), r'D holds numbers that are not finite: \[None'),
                (dict(binning_x=2), 'binning_x says that the images are a part'),
                (dict(roi=dict(x_offset=8)), 'roi says that the images are a part'),
                (dict(params=[1, 2, 3]), "params need one of COLMAP's models"),
                (dict(resolution=[1]), 'resolution must hold 2 numbers, got 1'),
            ]
        ],
        (
            json.dumps(dict(left=dict(KALIBR, camera_model='omni', intrinsics=[1] * 5))),
            "left: camera_model must be plumb_bob, .*, got 'omni'",
        ),
        ('{"model": "OPENCV", "params": [1]}', 'params must hold 8 numbers, got 1'),
        (json.dumps(dict(M1=MATRIX, D1=LENS, M2=MATRIX, Lens2=LENS)), "'Lens2' is not a known"),
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
        (dict(front=dict(lidar2camera=POSE.tolist())), 'front has neither lidar2cam nor cam2lid'),
        (dict(lidar2cam=POSE.tolist(), cam2lidar=POSE.tolist()), 'cam2lidar is not the inverse of'),
    ],
)
def test_unfit_extrinsics(content, message, tmp_path):
    (tmp_path / 'T.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_extrinsics(tmp_path / 'T.json')


def test_unfit_rig_and_drive(tmp_path):
    path = tmp_path / 'rig.json'
    pose = POSE.tolist()
    for camera, message in [
        (dict(PINHOLE, distorsion=LENS, rig2cam=pose), "front: 'distorsion' is not a known key"),
        (dict(PINHOLE, T_rig_cam=pose), 'front has neither rig2cam nor cam2rig'),
        (dict(PINHOLE, rig2cam=pose, cam2rig=pose), 'front: cam2rig is not the inverse of rig2cam'),
    ]:
        path.write_text(json.dumps(dict(cameras=dict(front=camera))))
        with pytest.raises(ValueError, match=rf'rig\.json, {message}'):
            read_rig(path)
    path.write_text(json.dumps({'0': dict(lidar=pose, front=pose, timestamp=3.5)}))
    with pytest.raises(
        ValueError, match=r"frame 0: the stamp must be called 'stamp', not 'timestamp'"
    ):
        read_drive(path, ['0'], ['front'])


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('K.xml', '<a><b></a>', 'K.xml is not readable XML: mismatched tag'),
        ('K.xml', '<a>' * 50_000 + '</a>' * 50_000, 'K.xml is not readable XML: .*recursion'),
        ('K.xml', '<x><fx>1</fx><fx>2</fx></x>', "'fx' stands there twice"),
        ('cameras.txt', '1 OPENCV\n', 'params must hold 8 numbers, got 0'),
        ('K.yaml', 'a: [1,\n b: }', 'K.yaml is not readable JSON or YAML: .*line 2'),
    ],
)
def test_unreadable_files(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_intrinsics(tmp_path / name)
    assert '\n' not in str(caught.value)


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
    with pytest.raises(ValueError, match=f"many.{suffix}: 'c0' is neither a camera"):
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


PINHOLE = dict(fx=700.0, fy=700.0, cx=320.0, cy=200.0)


@pytest.mark.parametrize(
    ('more', 'key'),
    [
        (dict(r=[-0.28, 0.08], t=[0.001, -0.002]), "'r'"),  # radial, tangential
        (dict(k1=-0.28, k2=0.08, p=[0.001, -0.002]), "'p'"),
        (dict(board_distortion=[0.1, 0, 0, 0]), "'board_distortion'"),
        (dict(model='FLIR', D=[0.1, 0, 0, 0]), 'model must be'),
        (dict(distortion_model='omni'), 'distortion_model must be'),
    ],
)
def test_what_may_be_a_lens_is_not_passed_over(tmp_path, more, key):
    path = tmp_path / 'K.json'
    path.write_text(json.dumps(dict(PINHOLE, **more)))
    with pytest.raises(ValueError, match=re.escape(f'{path}: {key}')):
        read_intrinsics(path)


@pytest.mark.parametrize(
    'content',
    [
        dict(PINHOLE, R=np.eye(3).tolist(), T=[0.1, 0.2, 0.3], P=[0.0] * 12),
        dict(PINHOLE, model='FLIR Blackfly S', type='rgb'),
        dict(PINHOLE, model='Inverse Brown Conrady', coeffs=[0.0] * 5),  # pyrealsense2
        dict(version=1, camera=PINHOLE),
        dict(cameras=dict(camera=dict(PINHOLE, rig2cam=np.eye(4).tolist()))),
        dict(camera=dict(img_path='a.png', cam2img=[[700, 0, 320], [0, 700, 200], [0, 0, 1]])),
        dict(mtx=[[700, 0, 320], [0, 700, 200], [0, 0, 1]], dist=[[0.0] * 5]),  # OpenCV's tutorial
    ],
)
@pytest.mark.parametrize('mark', ['', '\ufeff'])
def test_what_is_no_lens_passes(tmp_path, content, mark):
    path = tmp_path / 'K.json'
    path.write_text(mark + json.dumps(content), encoding='utf-8')
    [camera] = read_intrinsics(path).values()
    np.testing.assert_array_equal(camera.cam2img, [[700, 0, 320], [0, 700, 200], [0, 0, 1]])
    assert not len(camera.distortion)


@pytest.mark.parametrize('key', ['fl_x', 'Camera.fx'])  # nerfstudio, ORB-SLAM
def test_cameras_of_other_programs_are_named(tmp_path, key):
    path = tmp_path / 'K.json'
    path.write_text(json.dumps({key: 700}))
    with pytest.raises(ValueError, match=f'{key!r} is neither a camera nor a known key of one'):
        read_intrinsics(path)


def test_other_numbers_of_a_frame_are_no_stamp(tmp_path):
    path = tmp_path / 'poses.json'
    path.write_text(json.dumps({'0': dict(lidar=np.eye(4).tolist(), speed=12.3, index=3)}))
    assert 'stamp' not in read_drive(path, ['0'], [])[0]
