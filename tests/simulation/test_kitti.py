"""KITTI object and SemanticKITTI layouts, read by the formulas of their development kits."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from nclr_mm.simulation.labels import CLASSES, TO_SEMANTICKITTI, TO_SEMANTICKITTI_MOVING, Semantic


def read_calib(path: Path) -> dict[str, np.ndarray]:
    rows = (line.split(':') for line in path.read_text().splitlines() if line.strip())
    return {name: np.array(values.split(), float) for name, values in rows}


def read_scan(path: Path) -> np.ndarray:
    return np.fromfile(path, '<f4').reshape(-1, 4)


def rectified(calib: dict[str, np.ndarray], points: np.ndarray) -> np.ndarray:
    """x = R0_rect * Tr_velo_to_cam * y, the readme's formula."""
    tr, r0 = calib['Tr_velo_to_cam'].reshape(3, 4), calib['R0_rect'].reshape(3, 3)
    return (points[:, :3] @ tr[:, :3].T + tr[:, 3]) @ r0.T


def project(p: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    image = np.c_[points, np.ones(len(points))] @ p.reshape(3, 4).T
    return image[:, :2] / image[:, 2:], image[:, 2]


def agreement(pixels, depth, picture, camera) -> float:
    """Share of projected points whose depth is what the caster saw at that pixel."""
    u, v = np.round(pixels).astype(int).T
    inside = (depth > 0.5) & (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    u, v, depth = u[inside], v[inside], depth[inside]
    assert len(u) > 3000
    seen = picture.distance * camera.rays[:, 2].reshape(picture.distance.shape)
    return float((np.abs(seen[v, u] - depth) < 0.06 + 0.02 * depth).mean())


def read_labels(path: Path) -> list[tuple[str, np.ndarray]]:
    rows = [line.split() for line in path.read_text().splitlines()]
    assert all(len(row) == 15 for row in rows)
    return [(row[0], np.array(row[1:], float)) for row in rows]


@pytest.mark.parametrize('index', [0, 1])
def test_kitti_projection_lands_on_what_the_caster_saw(kitti_drive, index):
    folder = kitti_drive.root / 'training'
    calib = read_calib(folder / f'calib/{index:06d}.txt')
    points = rectified(calib, read_scan(folder / f'velodyne/{index:06d}.bin'))
    for name, camera in zip(('P2', 'P3'), kitti_drive.rig.cameras, strict=True):
        picture = kitti_drive.captures[index].pictures[camera.name]
        assert agreement(*project(calib[name], points), picture, camera) > 0.85
        image = cv2.imread(str(folder / f'{camera.name}/{index:06d}.png'))
        np.testing.assert_array_equal(image, picture.image)
    assert calib['P2'][3] > 10 and abs(calib['P2'][11]) > 1e-4
    assert not np.allclose(calib['R0_rect'].reshape(3, 3), np.eye(3), atol=1e-4)


def test_kitti_boxes_hold_their_instances_points(kitti_drive):
    checked = 0
    for index, capture in enumerate(kitti_drive.captures):
        folder = kitti_drive.root / 'training'
        calib = read_calib(folder / f'calib/{index:06d}.txt')
        points = rectified(calib, read_scan(folder / f'velodyne/{index:06d}.bin'))
        instance = capture.sweep.instance
        classes = capture.sweep.semantic
        picture = capture.pictures['image_2']
        for kind, value in read_labels(folder / f'label_2/{index:06d}.txt'):
            if kind == 'DontCare':
                continue
            truncated, occluded, alpha = value[:3]
            h, w, length = value[7:10]
            location, ry = value[10:13], value[13]
            # Development kit: corners are R_y(ry) * (l, h, w) about the bottom's centre.
            turn = np.array([[np.cos(ry), 0, np.sin(ry)], [0, 1, 0], [-np.sin(ry), 0, np.cos(ry)]])
            local = (points - location) @ turn
            grow = 0.08  # the box is upright in the camera, the car on its sloping road
            inside = (
                (np.abs(local[:, 0]) < length / 2 + grow)
                & (np.abs(local[:, 2]) < w / 2 + grow)
                & (local[:, 1] < grow)
                & (local[:, 1] > -h - grow)
            )
            assert 0 <= truncated <= 1 and occluded in (0, 1, 2)
            expected = ry - np.arctan2(location[0], location[2])
            assert abs(np.angle(np.exp(1j * (alpha - expected)))) < 0.02
            above = inside & (local[:, 1] < -0.2)
            if above.sum() < 40:
                continue
            values, counts = np.unique(instance[above], return_counts=True)
            best = values[counts.argmax()]
            assert counts.max() / counts.sum() > 0.9
            own = instance == best
            assert CLASSES[Semantic(int(classes[own][0]))].kitti_object == kind
            assert inside[own].mean() > 0.95
            rows, columns = np.nonzero(picture.instance == best)
            x0, y0, x1, y1 = value[3:7]
            assert rows.min() >= y0 - 1 and rows.max() <= y1 + 1
            assert columns.min() >= x0 - 1 and columns.max() <= x1 + 1
            if occluded == 0 and truncated == 0:
                assert columns.max() - columns.min() > 0.85 * (x1 - x0) - 2
                assert rows.max() - rows.min() > 0.85 * (y1 - y0) - 2
            checked += 1
    assert checked >= 5


def test_kitti_lists_name_every_frame(kitti_drive):
    root = kitti_drive.root
    assert (root / 'ImageSets/train.txt').read_text().split() == ['000000', '000001']
    assert (root / 'ImageSets/trainval.txt').read_text().split() == ['000000', '000001']
    assert (root / 'ImageSets/val.txt').read_text() == ''
    stems = {path.stem for path in (root / 'training/velodyne').iterdir()}
    assert stems == {'000000', '000001'}


def test_semantickitti_labels_and_projection(semantickitti_drive):
    folder = semantickitti_drive.root / 'sequences/00'
    calib = read_calib(folder / 'calib.txt')
    tr = calib['Tr'].reshape(3, 4)
    camera = semantickitti_drive.rig.cameras[0]
    for index, capture in enumerate(semantickitti_drive.captures):
        scan = read_scan(folder / f'velodyne/{index:06d}.bin')
        label = np.fromfile(folder / f'labels/{index:06d}.label', '<u4')
        assert len(scan) == len(label) > 60000
        assert scan[:, 3].min() >= 0 and scan[:, 3].max() <= 1
        raw, instance = label & 0xFFFF, label >> 16
        assert set(raw.tolist()) <= {int(v) for v in TO_SEMANTICKITTI} | {
            int(v) for v in TO_SEMANTICKITTI_MOVING
        }
        assert {40, 48} <= set(raw.tolist())
        assert (instance[np.isin(raw, [10, 252])] > 0).all()
        assert (instance[raw < 9] == 0).all() and (instance[raw == 40] == 0).all()
        points = scan[:, :3] @ tr[:, :3].T + tr[:, 3]
        picture = capture.pictures['image_2']
        assert agreement(*project(calib['P2'], points), picture, camera) > 0.85


def test_semantickitti_ids_are_those_of_mmdet3d():
    """mmdet3d's SemanticKITTI base config lists every raw id of the data set."""
    import mmdet3d
    from mmengine.config import Config

    path = Path(mmdet3d.__file__).parent / '.mim/configs/_base_/datasets/semantickitti.py'
    known = Config.fromfile(path).labels_map
    for names in CLASSES.values():
        assert names.semantickitti in known and names.semantickitti_moving in known
        moving = known[names.semantickitti_moving]
        assert moving == known[names.semantickitti]  # moving and still train as one class


def test_semantickitti_poses_put_static_points_together(semantickitti_drive, point_to_surface):
    """Odometry convention: pose of camera 0, world = pose * Tr * velodyne."""
    folder = semantickitti_drive.root / 'sequences/00'
    tr = np.vstack([read_calib(folder / 'calib.txt')['Tr'].reshape(3, 4), [0, 0, 0, 1]])
    poses = np.loadtxt(folder / 'poses.txt').reshape(-1, 3, 4)
    np.testing.assert_allclose(poses[0], np.eye(4)[:3], atol=1e-9)
    assert len(poses) == len((folder / 'times.txt').read_text().split()) == 2
    assert poses[1][2, 3] > 0.2  # forward along the camera's z
    clouds = []
    for index in range(2):
        scan = read_scan(folder / f'velodyne/{index:06d}.bin')
        raw = np.fromfile(folder / f'labels/{index:06d}.label', '<u4') & 0xFFFF
        points = scan[np.isin(raw, [40, 48, 50]), :3]
        world = np.vstack([poses[index], [0, 0, 0, 1]]) @ tr
        clouds.append(points @ world[:3, :3].T + world[:3, 3])
    gap = point_to_surface(clouds[0], clouds[1])
    assert len(gap) > 3000
    assert np.median(gap) < 0.03
