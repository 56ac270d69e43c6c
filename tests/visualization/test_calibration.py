"""The calibration sheet on a hand-made scene and on a real frame."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nclr_mm.visualization import calibration, calibration_sheet

IMAGE = np.full((160, 640, 3), 90, np.uint8)
CAM2IMG = np.array([[300.0, 0, 319.5], [0, 300, 79.5], [0, 0, 1]])


def _motion(degrees, shift):
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler('z', degrees, degrees=True).as_matrix()
    motion[:3, 3] = shift
    return motion


def _prediction(lidar2cam, points, cam2img=CAM2IMG, valid=True):
    """Perfect matches of all points that lie in front of the camera, as tensors, one camera."""
    cam = points @ lidar2cam[:3, :3].T + lidar2cam[:3, 3]
    front = cam[:, 2] > 0
    uv = cam[front] @ cam2img.T
    uv = uv[:, :2] / uv[:, 2:]
    number = int(front.sum())
    return dict(
        lidar2cam=torch.from_numpy(lidar2cam)[None],
        valid=torch.tensor([valid]),
        num_inliers=torch.tensor([number]),
        voxels=torch.from_numpy(points).float(),
        points=torch.from_numpy(points).float(),
        point_scores=torch.from_numpy(front).float()[None],
        pixel_scores=torch.rand(1, 40, 160, generator=torch.Generator().manual_seed(0)),
        match_points=torch.from_numpy(points[front])[None],
        match_pixels=torch.from_numpy(uv)[None],
        match_mask=torch.ones(1, number, dtype=torch.bool),
    )


@pytest.fixture
def scene():
    """LiDAR x forward, camera z forward; 50 points before the camera, moved by a perturbation."""
    rng = np.random.default_rng(0)
    original = np.eye(4)
    original[:3, :3] = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
    motion = _motion(30, [1, 2, 0])
    points = rng.uniform([5, -4, -1], [20, 4, 1], (50, 3)) @ motion[:3, :3].T + motion[:3, 3]
    return original @ np.linalg.inv(motion), motion, points


@pytest.fixture
def panels(monkeypatch):
    """Title -> image of the panels of the sheets that are drawn."""
    found = {}
    tile = calibration.tile
    monkeypatch.setattr(
        calibration,
        'tile',
        lambda images, columns, titles: (
            found.update(zip(titles, images)) or tile(images, columns, titles)
        ),
    )
    return found


def test_captions_state_the_errors(scene, monkeypatch):
    true, motion, points = scene
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler('x', 2, degrees=True).as_matrix()
    predicted = turn @ true
    predicted[:3, 3] = true[:3, 3] + [0.3, 0, 0.4]
    seen = []
    tile = calibration.tile
    monkeypatch.setattr(
        calibration, 'tile', lambda images, *args: seen.extend(args[1]) or tile(images, *args)
    )
    calibration_sheet(IMAGE, _prediction(predicted, points), 0, true, CAM2IMG, motion)
    before = np.linalg.norm((true @ motion)[:3, 3] - true[:3, 3])
    assert f'LiDAR, pose before: off by 30.00 deg, {before:.2f} m' in seen
    assert 'LiDAR, pose predicted: off by 2.00 deg, 0.50 m' in seen


def test_panels_show_the_projections(scene, panels):
    true, motion, points = scene
    prediction = _prediction(true, points)
    calibration_sheet(IMAGE, prediction, 0, true, CAM2IMG, motion)
    uv = np.rint(prediction['match_pixels'][0].numpy()).astype(int)
    uv = uv[((uv >= 0) & (uv < [640, 160])).all(axis=1)]
    for title, panel in panels.items():
        drawn = (panel != IMAGE).any(axis=-1)[uv[:, 1], uv[:, 0]].all()
        assert drawn == (title != 'image' and 'before' not in title), title
    matches = next(panel for title, panel in panels.items() if 'matches' in title)
    assert (matches[uv[:, 1], uv[:, 0]] == [0, 255, 0]).all()  # perfect matches are green


def test_sheet_without_a_pose_or_a_perturbation(scene):
    true, motion, points = scene
    full = calibration_sheet(IMAGE, _prediction(true, points), 0, true, CAM2IMG, motion)
    assert full.dtype == np.uint8 and full.shape[2] == 3 and full.shape[1] == 2 * 640 + 18
    failed = calibration_sheet(
        IMAGE, _prediction(true, points, valid=False), 0, true, CAM2IMG, motion
    )
    assert failed.shape == full.shape and (failed != full).any()
    again = calibration_sheet(IMAGE, _prediction(true, points), 0, true, CAM2IMG, motion)
    np.testing.assert_array_equal(full, again)
    empty = _prediction(true, points[:0])
    assert calibration_sheet(IMAGE, empty, 0, true, CAM2IMG).shape[1] == full.shape[1]


def test_small_images_are_enlarged(scene):
    true, motion, points = scene
    small = IMAGE[:, :300]
    sheet = calibration_sheet(small, _prediction(true, points), 0, true, CAM2IMG, motion)
    assert sheet.shape[1] == 2 * 600 + 18


def test_real_frame(real_data):
    """On a real KITTI frame, the depth drawn with the true pose follows the image's edges."""
    folder = Path(real_data, 'semantickitti', 'sequences', '00')
    if not folder.is_dir():
        pytest.skip(f'no real KITTI sequence: {folder} does not exist')
    lines = (folder / 'calib.txt').read_text().splitlines()
    rows = {line.split(':')[0]: line.split(':')[1].split() for line in lines if ':' in line}
    projection = np.array(rows['P2'], float).reshape(3, 4)
    true = np.eye(4)
    true[:3] = np.array(rows['Tr'], float).reshape(3, 4)
    cam2img = projection[:, :3]
    true[:3, 3] += np.linalg.solve(cam2img, projection[:, 3])
    points = np.fromfile(folder / 'velodyne' / '000005.bin', np.float32).reshape(-1, 4)
    image = cv2.imread(str(folder / 'image_2' / '000005.png'))[:, :, ::-1]
    prediction = _prediction(true, points[::20, :3].astype(float), cam2img)
    sheet = calibration_sheet(image, prediction, 0, true, cam2img, np.eye(4), points)
    assert sheet.shape[1] == 2 * image.shape[1] + 18
    assert sheet.std() > 30


def test_features_of_cells_and_voxels_have_the_same_colours(scene, panels):
    """Voxels whose features are those of the cells they fall on have the colours of these."""
    true, motion, points = scene
    pred = _prediction(true, points)
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(40, 160, 8))
    cam = points @ true[:3, :3].T + true[:3, 3]
    uv = cam @ CAM2IMG.T
    column, row = np.rint((uv[:, :2] / uv[:, 2:] + 0.5) / 4 - 0.5).astype(int).T
    inside = (cam[:, 2] > 0) & (column >= 0) & (column < 160) & (row >= 0) & (row < 40)
    features = cells[row.clip(0, 39), column.clip(0, 159)]
    pred |= dict(
        pixel_features=torch.from_numpy(cells)[None],
        point_features=torch.from_numpy(features)[None],
    )
    calibration_sheet(IMAGE, pred, 0, true, CAM2IMG, motion)
    of_cells = panels['features of the cells: three main components']
    of_voxels = panels['features of the voxels at their true places, same colours']
    for i in np.flatnonzero(inside):
        u, v = np.rint(uv[i, :2] / uv[i, 2]).astype(int)
        drawn = of_voxels[v, u]
        around = of_cells[4 * row[i] + 1, 4 * column[i] + 1]
        overdrawn = np.abs(np.linalg.norm(uv[:, :2] / uv[:, 2:] - [u, v], axis=1)) < 6
        if overdrawn[inside].sum() == 1:
            np.testing.assert_array_equal(drawn, around)
