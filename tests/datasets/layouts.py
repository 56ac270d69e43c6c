"""Small data sets in the official layouts, made by hand."""

import json
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from nclr_mm.datasets.converters.nuscenes import CAMERAS, TABLES

# Points forward-left-up (x, y, z) to camera right-down-forward.
AXES = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
HEIGHT, WIDTH = 48, 64


def write_image(path: Path, height: int = HEIGHT, width: int = WIDTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), noise)


def write_scan(path: Path, num_feats: int, num_points: int = 400) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    points = np.random.default_rng(1).uniform(-20, 20, (num_points, num_feats))
    points[:, 3:] = np.abs(points[:, 3:])  # intensity, ring
    points.astype(np.float32).tofile(path)


def quaternion(matrix: np.ndarray) -> list[float]:
    return np.roll(Rotation.from_matrix(matrix).as_quat(), 1).tolist()


def make_nuscenes(
    root: Path, scenes=('scene-0061',), version='v1.0-mini', frames=2, labels=True
) -> Path:
    """nuScenes with cameras that look in six directions, from a moving and turning car."""
    rng = np.random.default_rng(2)
    tables = {name: [] for name in TABLES}
    tables['sensor'] = [
        dict(token=name, channel=name, modality='camera' if name in CAMERAS else 'lidar')
        for name in ('LIDAR_TOP', *CAMERAS)
    ]
    for i, name in enumerate(('LIDAR_TOP', *CAMERAS)):
        yaw = Rotation.from_euler('z', i * 55, degrees=True).as_matrix()
        tables['calibrated_sensor'].append(
            dict(
                token=f'cal-{name}',
                sensor_token=name,
                translation=rng.normal(0, 0.5, 3).tolist(),
                rotation=quaternion(yaw @ AXES.T if name in CAMERAS else yaw),
                camera_intrinsic=[[50, 0, 31], [0, 51, 23], [0, 0, 1]] if name in CAMERAS else [],
            )
        )
    tables['category'] = [dict(token='cat', name='vehicle.car', description='', index=17)]
    tables['log'] = [dict(token='log', logfile='l', vehicle='v', date_captured='', location='x')]
    write_image(root / 'maps/blank.png')
    tables['map'] = [dict(token='map', category='c', filename='maps/blank.png', log_tokens=['log'])]
    lidarseg, panoptic = [], []
    for scene in scenes:
        tokens = [f'{scene}-{i}' for i in range(frames)]
        tables['scene'].append(
            dict(token=scene, log_token='log', nbr_samples=frames, name=scene, description='',
                 first_sample_token=tokens[0], last_sample_token=tokens[-1])
        )  # fmt: skip
        for i, token in enumerate(tokens):
            tables['sample'].append(
                dict(token=token, timestamp=500000 * i, scene_token=scene,
                     prev=tokens[i - 1] if i else '', next=(*tokens, '')[i + 1])
            )  # fmt: skip
            for k, name in enumerate(('LIDAR_TOP', *CAMERAS)):
                data = f'{token}-{name}'
                turn = Rotation.from_euler('zyx', rng.normal(0, 0.2, 3)).as_matrix()
                tables['ego_pose'].append(
                    dict(token=data, timestamp=0, rotation=quaternion(turn),
                         translation=(rng.normal(0, 1, 3) + (400, 1100, 0)).tolist())
                )  # fmt: skip
                suffix = 'jpg' if k else 'pcd.bin'
                file = f'samples/{name}/{data}.{suffix}'
                write_image(root / file) if k else write_scan(root / file, 5)
                tables['sample_data'].append(
                    dict(token=data, sample_token=token, ego_pose_token=data,
                         calibrated_sensor_token=f'cal-{name}', timestamp=500000 * i + k,
                         fileformat=suffix, is_key_frame=True, height=HEIGHT if k else 0,
                         width=WIDTH if k else 0, filename=file, prev='', next='')
                )  # fmt: skip
            tables['instance'].append(
                dict(token=token, category_token='cat', nbr_annotations=1,
                     first_annotation_token=token, last_annotation_token=token)
            )  # fmt: skip
            tables['sample_annotation'].append(
                dict(token=token, sample_token=token, instance_token=token, visibility_token='4',
                     attribute_tokens=[], translation=[405.0, 1102, 1], size=[2.0, 4.5, 1.6],
                     rotation=quaternion(np.eye(3)), prev='', next='', num_lidar_pts=3,
                     num_radar_pts=0)
            )  # fmt: skip
            if labels:
                data = f'{token}-LIDAR_TOP'
                file = Path(f'lidarseg/{version}/{data}_lidarseg.bin')
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                np.full(400, 17, np.uint8).tofile(root / file)
                lidarseg.append(dict(token=data, sample_data_token=data, filename=str(file)))
                file = Path(f'panoptic/{version}/{data}_panoptic.npz')
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(root / file, data=np.full(400, 17001, np.uint16))
                panoptic.append(dict(token=data, sample_data_token=data, filename=str(file)))
    if labels:
        tables |= dict(lidarseg=lidarseg, panoptic=panoptic)
    (root / version).mkdir(parents=True)
    for name, rows in tables.items():
        (root / version / f'{name}.json').write_text(json.dumps(rows))
    return root


def calibration_text(names: dict[str, np.ndarray]) -> str:
    return ''.join(f'{k}: {" ".join(f"{x:.12e}" for x in np.ravel(v))}\n' for k, v in names.items())


def projections() -> dict[str, np.ndarray]:
    """P0 to P3 with a fourth column in all three rows, as KITTI has it."""
    out = {}
    for i, column in enumerate(([0, 0, 0], [-38, 0, 0], [4.5, 0.2, 0.003], [-34, 2.2, 0.003])):
        out[f'P{i}'] = np.array([[50.0, 0, 31], [0, 50, 23], [0, 0, 1]])
        out[f'P{i}'] = np.column_stack([out[f'P{i}'], column])
    return out


def velo_to_cam() -> np.ndarray:
    turn = Rotation.from_euler('xyz', [0.01, -0.02, 0.015]).as_matrix()
    return np.column_stack([turn @ AXES, [-0.003, -0.075, -0.27]])


def make_semantickitti(root: Path, sequences=('00',), frames=4, labels=True) -> Path:
    for name in sequences:
        folder = root / 'sequences' / name
        for i in range(frames):
            write_scan(folder / f'velodyne/{i:06d}.bin', 4)
            for camera in ('image_2', 'image_3'):
                write_image(folder / f'{camera}/{i:06d}.png')
            if labels:
                (folder / 'labels').mkdir(exist_ok=True)
                np.full(400, 10, np.uint32).tofile(folder / f'labels/{i:06d}.label')
        (folder / 'calib.txt').write_text(calibration_text({**projections(), 'Tr': velo_to_cam()}))
        (folder / 'times.txt').write_text(''.join(f'{0.1 * i:e}\n' for i in range(frames)))
        pose = ' '.join(str(x) for x in np.eye(4)[:3].ravel())
        (folder / 'poses.txt').write_text(f'{pose}\n' * frames)
    return root


def make_kitti(root: Path) -> Path:
    (root / 'ImageSets').mkdir(parents=True)
    for split, stems in dict(train=['000000'], val=['000001'], test=['000000']).items():
        (root / 'ImageSets' / f'{split}.txt').write_text('\n'.join(stems) + '\n')
    rect = Rotation.from_euler('xyz', [0.004, 0.01, -0.008]).as_matrix()
    calib = {**projections(), 'R0_rect': rect, 'Tr_velo_to_cam': velo_to_cam()}
    calib['Tr_imu_to_velo'] = np.eye(4)[:3]
    for half, stems in dict(training=['000000', '000001'], testing=['000000']).items():
        folder = root / half
        for stem in stems:
            write_scan(folder / f'velodyne/{stem}.bin', 4, num_points=20000)
            write_image(folder / f'image_2/{stem}.png')
            (folder / 'calib').mkdir(exist_ok=True)
            (folder / f'calib/{stem}.txt').write_text(calibration_text(calib))
            if half == 'training':
                (folder / 'label_2').mkdir(exist_ok=True)
                (folder / f'label_2/{stem}.txt').write_text(
                    'Car 0.10 1 -1.5 10 10 40 40 1.6 1.8 4.2 1.5 1.6 12.0 0.6\n'
                    'Tractor 0.00 0 0.2 20 10 60 47 3.0 2.5 6.0 -4.0 1.7 9.0 -2.1\n'
                    'DontCare -1 -1 -10 5 5 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n'
                )
    return root
