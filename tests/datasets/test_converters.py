"""Info files against the devkits' own formulas, and every way in which data can be broken."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from nclr_mm.datasets import (
    SemanticKittiCalibrationDataset,
    SemanticKittiSegmentationDataset,
    converters,
)
from nclr_mm.datasets.converters.nuscenes import CAMERAS, slidr_verifying_scenes
from nclr_mm.datasets.converters.sequences import Part, parse_split
from tests.datasets.layouts import make_kitti, make_nuscenes, make_semantickitti, write_image


def load(path: Path) -> dict:
    with open(path, 'rb') as file:
        return pickle.load(file)


def project(points: np.ndarray, image: dict) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) and depths (N,) by the matrices of an info file."""
    lidar2cam = np.array(image['lidar2cam'])
    camera = points @ lidar2cam[:3, :3].T + lidar2cam[:3, 3]
    pixels = camera @ np.array(image['cam2img']).T
    return pixels[:, :2] / pixels[:, 2:], camera[:, 2]


# ---------------------------------------------------------------- nuScenes


def check_against_devkit(root: Path, version: str, info: dict, monkeypatch) -> int:
    """Compare with NuScenesExplorer's projection; returns the number of points compared."""
    from nuscenes import NuScenes
    from nuscenes.utils.data_classes import LidarPointCloud

    from_file = LidarPointCloud.from_file.__func__

    def in_double(cls, path):
        # At global coordinates of a kilometre the devkit's float32 is good to a tenth of a pixel.
        cloud = from_file(cls, path)
        cloud.points = cloud.points.astype(np.float64)
        return cloud

    monkeypatch.setattr(LidarPointCloud, 'from_file', classmethod(in_double))
    nusc = NuScenes(version=version, dataroot=str(root), verbose=False)
    sample = nusc.get('sample', info['token'])
    path = root / 'samples/LIDAR_TOP' / info['lidar_points']['lidar_path']
    points = np.fromfile(path, np.float32).reshape(-1, 5)[:, :3].astype(np.float64)
    compared = 0
    assert list(info['images']) == list(CAMERAS)
    for camera, image in info['images'].items():
        expected, depths, _ = nusc.explorer.map_pointcloud_to_image(
            sample['data']['LIDAR_TOP'], sample['data'][camera]
        )
        pixels, depth = project(points, image)
        u, v = pixels.T
        width, height = image['width'], image['height']
        seen = (depth > 1) & (u > 1) & (u < width - 1) & (v > 1) & (v < height - 1)
        np.testing.assert_allclose(pixels[seen], expected[:2].T, atol=1e-3)
        np.testing.assert_allclose(depth[seen], depths, atol=1e-5)
        compared += int(seen.sum())
    return compared


def check_boxes_in_mmdet3d(root: Path, version: str, info_file: Path) -> None:
    """mmdet3d's own dataset reads the infos; its boxes are the devkit's."""
    from mmdet3d.datasets import NuScenesDataset
    from nuscenes import NuScenes

    dataset = NuScenesDataset(
        data_root=str(root), ann_file=str(info_file), data_prefix=dict(pts='samples/LIDAR_TOP')
    )
    nusc = NuScenes(version=version, dataroot=str(root), verbose=False)
    info = dataset.get_data_info(0)
    assert Path(info['lidar_points']['lidar_path']).is_file()
    boxes = info['ann_info']['gt_bboxes_3d']
    lidar_token = nusc.get('sample', info['token'])['data']['LIDAR_TOP']
    devkit = [
        box
        for box in nusc.get_sample_data(lidar_token)[1]
        if nusc.get('sample_annotation', box.token)['num_lidar_pts'] > 0
    ]
    assert len(boxes) == len(devkit) > 0
    np.testing.assert_allclose(
        boxes.gravity_center.numpy(), [b.center for b in devkit], rtol=0, atol=2e-5
    )
    np.testing.assert_allclose(boxes.dims.numpy(), [b.wlh[[1, 0, 2]] for b in devkit], atol=1e-5)
    # mmdet3d's boxes stand upright in the LiDAR frame, which is tilted: compare the long axes.
    axes = np.stack([b.rotation_matrix[:2, 0] for b in devkit])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    yaw = boxes.yaw.numpy()
    np.testing.assert_allclose(np.stack([np.cos(yaw), np.sin(yaw)], 1), axes, atol=1e-3)


def test_nuscenes_projection_is_the_devkits(nuscenes_root, tmp_path, monkeypatch):
    written = converters.create_nuscenes_infos(nuscenes_root, tmp_path)
    for split, scene in dict(train='scene-0061', val='scene-0103').items():
        infos = load(written[split])
        assert infos['metainfo']['info_version'] == '1.1'
        assert [info['sample_idx'] for info in infos['data_list']] == [0, 1]
        assert {info['scene'] for info in infos['data_list']} == {scene}
        for info in infos['data_list']:
            assert check_against_devkit(nuscenes_root, 'v1.0-mini', info, monkeypatch) > 50


def test_nuscenes_projection_on_a_real_frame(real_data, tmp_path, monkeypatch):
    root = real_data / 'nuscenes'
    written = converters.create_nuscenes_infos(root, tmp_path, check=True)
    assert list(written) == ['train']
    (info,) = load(written['train'])['data_list']
    assert check_against_devkit(root, 'v1.0-mini', info, monkeypatch) > 10000
    assert len(info['instances']) == 68
    check_boxes_in_mmdet3d(root, 'v1.0-mini', written['train'])


def test_nuscenes_boxes_and_masks(nuscenes_root, tmp_path):
    written = converters.create_nuscenes_infos(nuscenes_root, tmp_path, check=True)
    check_boxes_in_mmdet3d(nuscenes_root, 'v1.0-mini', written['train'])
    for info in load(written['train'])['data_list']:
        assert (nuscenes_root / 'lidarseg/v1.0-mini' / info['pts_semantic_mask_path']).is_file()
        assert (nuscenes_root / 'panoptic/v1.0-mini' / info['pts_panoptic_mask_path']).is_file()


def test_slidr_split_divides_train_into_600_and_100():
    from nuscenes.utils.splits import create_splits_scenes

    verifying = slidr_verifying_scenes()
    assert len(verifying) == len(set(verifying)) == 100
    assert set(verifying) < set(create_splits_scenes()['train'])


def test_nuscenes_trainval_splits(tmp_path, capsys):
    # One scene of each: pretraining half, held-back half, validation.
    scenes = ('scene-0001', 'scene-0008', 'scene-0003')
    root = make_nuscenes(tmp_path, scenes, version='v1.0-trainval', frames=1)
    written = converters.create_nuscenes_infos(root)
    found = {k: [i['scene'] for i in load(p)['data_list']] for k, p in written.items()}
    assert found == dict(
        train=['scene-0001', 'scene-0008'],
        val=['scene-0003'],
        pretrain600=['scene-0001'],
        verify100=['scene-0008'],
    )
    assert 'train: 2 of 700 scenes' in capsys.readouterr().out


def test_nuscenes_archives_that_are_not_there(tmp_path, capsys):
    """The tables come whole, the files of sensors in archives of scenes."""
    scenes = ('scene-0001', 'scene-0002', 'scene-0003')  # train, train, val
    root = make_nuscenes(tmp_path, scenes, version='v1.0-trainval')
    for path in root.glob('samples/*/scene-000[23]-*'):
        path.unlink()
    written = converters.create_nuscenes_infos(root)
    assert {*written} == {'train', 'pretrain600'}
    assert {i['scene'] for i in load(written['train'])['data_list']} == {'scene-0001'}
    printed = capsys.readouterr().out
    assert 'train: 1 of 700 scenes; 1 without scans (scene-0002), left out\n' in printed
    assert 'val: none of its 150 scenes; 1 without scans (scene-0003), left out\n' in printed
    splits = dict(mine=['scene-0002', 'scene-0001'], other=['scene-0003'])
    (root / 'splits.json').write_text(json.dumps(splits))
    assert {*converters.create_nuscenes_infos(root)} == {'mine'}
    for gone, message in [
        ('CAM_BACK/scene-0001-0*', r'scene-0001-0-CAM_BACK\.jpg is missing\.$'),
        ('LIDAR_TOP/scene-0001-1*', r'scene-0001-1-LIDAR_TOP\.pcd\.bin is missing\.$'),
        ('LIDAR_TOP/*', r'LIDAR_TOP\.pcd\.bin is missing, and so are all other scans of the sc'),
    ]:
        first(root, f'samples/{gone}').unlink()
        with pytest.raises(FileNotFoundError, match=message):
            converters.create_nuscenes_infos(root, tmp_path / 'out')
        write_image(root / 'samples/CAM_BACK/scene-0001-0-CAM_BACK.jpg')
    assert not (tmp_path / 'out').exists()


def test_nuscenes_scenes_without_images(tmp_path, capsys):
    scenes = ('scene-0001', 'scene-0002', 'scene-0004', 'scene-0003')  # three of train, one of val
    root = make_nuscenes(tmp_path, scenes, version='v1.0-trainval')
    for path in [*root.glob('samples/CAM_*/scene-000[13]-*'), *root.glob('samples/*/scene-0004-*')]:
        path.unlink()
    written = converters.create_nuscenes_infos(root)
    assert {i['scene'] for i in load(written['train'])['data_list']} == {'scene-0002'}
    printed = capsys.readouterr().out
    both = '; 1 without scans (scene-0004), left out; 1 without images (scene-0001), left out\n'
    assert f'train: 1 of 700 scenes{both}' in printed
    assert 'val: none of its 150 scenes; 1 without images (scene-0003), left out\n' in printed
    # Some images are a part of a scene, not a scene without.
    write_image(root / 'samples/CAM_BACK/scene-0003-1-CAM_BACK.jpg')
    with pytest.raises(FileNotFoundError, match=r'scene-0003-0-CAM_FRONT\.jpg is missing\.$'):
        converters.create_nuscenes_infos(root, tmp_path / 'out')
    for path in root.glob('samples/CAM_*/*'):
        path.unlink()
    message = r'scene-0001-0-CAM_FRONT\.jpg is missing, and so are all other images of the scenes'
    with pytest.raises(FileNotFoundError, match=message):
        converters.create_nuscenes_infos(root, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_nuscenes_scenes_that_have_no_camera_in_the_tables(tmp_path, capsys):
    root = make_nuscenes(tmp_path, ('scene-0001', 'scene-0003'), version='v1.0-trainval')
    path = root / 'v1.0-trainval/sample_data.json'
    rows = json.loads(path.read_text())
    for gone, left in (('scene-0003', {'scene-0001'}), ('scene-', set())):
        rows = [r for r in rows if 'LIDAR' in r['filename'] or not r['token'].startswith(gone)]
        path.write_text(json.dumps(rows))
        if not left:
            with pytest.raises(ValueError, match=r'sample scene-0001-0 has no camera image\.$'):
                converters.create_nuscenes_infos(root, tmp_path / 'out')
            break
        converters.create_nuscenes_infos(root)
        assert '1 without images (scene-0003), left out' in capsys.readouterr().out
    assert not (tmp_path / 'out').exists()


def into_boxes(root: Path) -> None:
    """Move a tenth of each scan into the one box that its frame has."""
    written = converters.create_nuscenes_infos(root, root / 'infos')
    for info in (i for path in written.values() for i in load(path)['data_list']):
        path = root / 'samples/LIDAR_TOP' / info['lidar_points']['lidar_path']
        points = np.fromfile(path, np.float32).reshape(-1, 5)
        centre = info['instances'][0]['bbox_3d'][:3]
        points[::10, :3] = points[::10, :3] / 100 + np.float32(centre)  # within 0.2 m
        points.tofile(path)


EMPTY = (
    'only {} of the {} boxes hold a point of their scan, so the scans are probably of another '
    'layout, or in another frame than the calibration and the boxes.\n'
)


def test_nuscenes_boxes_that_hold_no_point(tmp_path, capsys):
    root = make_nuscenes(tmp_path / 'root', ('scene-0061', 'scene-0103'))
    into_boxes(root)
    converters.create_nuscenes_infos(root, check=True)
    assert 'hold a point' not in capsys.readouterr().out
    for path in root.glob('samples/LIDAR_TOP/*'):
        points = np.fromfile(path, np.float32).reshape(-1, 5)
        points[:, [1, 0, 2, 3, 4]].tofile(path)
    converters.create_nuscenes_infos(root)
    assert 'hold a point' not in capsys.readouterr().out  # the scans are not read
    written = converters.create_nuscenes_infos(root, check=True)
    assert f'sample_annotation.json: {EMPTY.format(0, 4)}' in capsys.readouterr().out
    assert 'held' not in load(written['train'])['data_list'][0]
    table = root / 'v1.0-mini/sample_annotation.json'
    table.write_text(table.read_text().replace('"num_lidar_pts": 3', '"num_lidar_pts": 0'))
    converters.create_nuscenes_infos(root, check=True)
    assert 'hold a point' not in capsys.readouterr().out


def in_another_frame(points: np.ndarray, motion: str) -> np.ndarray:
    x, y, z = points.T[:3]
    moved = dict(
        none=(x, y, z), exchanged=(y, x, z), camera=(-y, -z, x), turned=(-x, -y, z),
        forward=(-y, x, z), lifted=(x, y, z + 2),
    )  # fmt: skip
    return np.column_stack([*moved[motion], points.T[3:].T])


@pytest.mark.parametrize('motion', ['none', 'exchanged', 'camera', 'turned', 'forward', 'lifted'])
@pytest.mark.parametrize(('kind', 'boxes'), [('nuscenes', 65), ('kitti_labelled', 26)])
def test_real_boxes_and_scans_in_another_frame(
    real_data, tmp_path, capsys, monkeypatch, kind, boxes, motion
):
    read = np.fromfile
    width = 5 if kind == 'nuscenes' else 4

    def read_moved(path, *args, **kwargs):
        numbers = read(path, *args, **kwargs)
        return in_another_frame(numbers.reshape(-1, width), motion).ravel().astype(numbers.dtype)

    monkeypatch.setattr(np, 'fromfile', read_moved)
    create = getattr(converters, f'create_{kind.partition("_")[0]}_infos')
    create(real_data / kind, tmp_path, check=True)
    said = capsys.readouterr().out
    assert ('boxes hold a point' in said) == (motion != 'none')
    assert motion == 'none' or f' of the {boxes} boxes hold' in said


def test_nuscenes_splits_file_of_a_simulated_drive(tmp_path):
    root = make_nuscenes(tmp_path, ('scene-a', 'scene-b'), frames=1)
    with pytest.raises(ValueError, match=r'no scene of the splits.*splits\.json'):
        converters.create_nuscenes_infos(root)
    (root / 'splits.json').write_text(json.dumps(dict(train=['scene-b'], holdout=['scene-a'])))
    written = converters.create_nuscenes_infos(root, extra_tag='drive')
    assert written['holdout'] == root / 'drive_infos_holdout.pkl'
    assert load(written['train'])['data_list'][0]['scene'] == 'scene-b'
    (root / 'splits.json').write_text(json.dumps(dict(train=['scene-c'])))
    with pytest.raises(ValueError, match=r'splits\.json names scene-c'):
        converters.create_nuscenes_infos(root)


def test_nuscenes_frames_held_out_of_training_scenes(tmp_path):
    root = make_nuscenes(tmp_path, ('scene-a', 'scene-b', 'scene-c'), frames=5)
    splits = dict(train=['scene-a', 'scene-b'], val=['scene-c'])
    (root / 'splits.json').write_text(json.dumps(splits))
    whole = converters.create_nuscenes_infos(root, extra_tag='whole')
    parted = converters.create_nuscenes_infos(root, hold_out=3)
    order = [i['token'] for i in load(whole['train'])['data_list']]
    held = [i['token'] for i in load(parted['heldout'])['data_list']]
    assert held == [order[2], order[7]]  # the third frame of each of the two scenes of five
    kept = [i['token'] for i in load(parted['train'])['data_list']]
    assert kept == [token for token in order if token not in held]
    assert len(load(parted['val'])['data_list']) == 5
    with pytest.raises(ValueError, match='no scene has 6 frames'):
        converters.create_nuscenes_infos(root, hold_out=6)


# ---------------------------------------------------------------- KITTI layouts


def kitti_values(path: Path) -> dict[str, np.ndarray]:
    lines = [line.split(':') for line in path.read_text().splitlines() if line]
    return {name: np.array(text.split(), dtype=np.float64) for name, text in lines}


def devkit_pixels(points: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """The KITTI devkit's formula: homogeneous points by a 3x4 matrix, divided by the third row."""
    pixels = np.column_stack([points, np.ones(len(points))]) @ projection.T
    return pixels[:, :2] / pixels[:, 2:]


def check_semantickitti(root: Path, info: dict) -> None:
    scan = root / info['lidar_points']['lidar_path']
    points = np.fromfile(scan, np.float32).reshape(-1, 4)[:, :3].astype(np.float64)
    points = points[points[:, 0] > 2]
    values = kitti_values(scan.parents[1] / 'calib.txt')
    tr = np.vstack([values['Tr'].reshape(3, 4), [0, 0, 0, 1]])
    for camera, image in info['images'].items():
        expected = devkit_pixels(points, values[f'P{camera[-1]}'].reshape(3, 4) @ tr)
        np.testing.assert_allclose(project(points, image)[0], expected, atol=1e-6)


def test_semantickitti_projection_has_all_of_tr(semantickitti_root, tmp_path):
    written = converters.create_semantickitti_infos(semantickitti_root, tmp_path, check=True)
    assert list(written) == ['train', 'val']
    infos = load(written['train'])['data_list']
    assert [info['sample_idx'] for info in infos] == [f'00_00000{i}' for i in range(4)]
    assert list(infos[0]['images']) == ['image_2', 'image_3']
    assert infos[3]['timestamp'] == pytest.approx(0.3)
    assert infos[3]['pts_semantic_mask_path'] == 'sequences/00/labels/000003.label'
    np.testing.assert_allclose(infos[3]['lidar2global'], np.eye(4), atol=1e-9)
    check_semantickitti(semantickitti_root, infos[0])
    assert {i['sample_idx'][:2] for i in load(written['val'])['data_list']} == {'08'}


def test_semantickitti_splits_file_of_a_simulated_drive(tmp_path):
    root = make_semantickitti(tmp_path, sequences=('00', '01'), frames=2)
    (root / 'splits.json').write_text(json.dumps(dict(train=['00'], val=['01'], test=[])))
    written = converters.create_semantickitti_infos(root)
    found = {k: [i['sample_idx'] for i in load(p)['data_list']] for k, p in written.items()}
    assert found == dict(train=['00_000000', '00_000001'], val=['01_000000', '01_000001'])
    (root / 'splits.json').write_text('{')
    with pytest.raises(ValueError, match=r'splits\.json is not valid JSON'):
        converters.create_semantickitti_infos(root)


def test_semantickitti_real_sequence(real_data, tmp_path):
    root = real_data / 'semantickitti'
    splits = dict([parse_split('train=00:0-29'), parse_split('val=00:34-39')])
    written = converters.create_semantickitti_infos(root, tmp_path, splits)
    train, val = (load(written[split])['data_list'] for split in ('train', 'val'))
    assert (len(train), len(val)) == (30, 6)
    assert val[0]['sample_idx'] == '00_000034'
    check_semantickitti(root, train[0])


def test_parse_split():
    assert parse_split('train=00:0-29,1') == ('train', [Part('00', 0, 29), Part('01')])
    for text in ('train', '=00', 'train=', 'train=00:5', 'train=aa', 'train=00:1-2-3'):
        with pytest.raises(ValueError, match='A split reads name=sequence'):
            parse_split(text)


def check_kitti(root: Path, info: dict, half: str = 'training') -> None:
    """Our entry and mmdet3d's give the pixels of P2 R0_rect Tr_velo_to_cam."""
    stem = f'{info["sample_idx"]:06d}'
    scan = root / half / 'velodyne' / f'{stem}.bin'
    points = np.fromfile(scan, np.float32).reshape(-1, 4)[:, :3].astype(np.float64)
    points = points[points[:, 0] > 2]
    values = kitti_values(root / half / 'calib' / f'{stem}.txt')
    rect, tr = np.eye(4), np.eye(4)
    rect[:3, :3] = values['R0_rect'].reshape(3, 3)
    tr[:3] = values['Tr_velo_to_cam'].reshape(3, 4)
    expected = devkit_pixels(points, values['P2'].reshape(3, 4) @ rect @ tr)
    np.testing.assert_allclose(project(points, info['images']['image_2'])[0], expected, atol=1e-6)
    theirs = info['images']['CAM2']
    lidar2img = (np.array(theirs['cam2img']) @ np.array(theirs['lidar2cam']))[:3]
    np.testing.assert_allclose(devkit_pixels(points, lidar2img), expected, atol=1e-6)
    np.testing.assert_allclose(theirs['lidar2cam'], rect @ tr, atol=1e-12)


def kitti_corners(row: list[str], lidar2rect: np.ndarray) -> np.ndarray:
    """Corners (8, 3) of a label, by the formula of the KITTI devkit, in the LiDAR frame."""
    h, w, length, x, y, z, yaw = (float(value) for value in row[8:15])
    corners = np.array(
        [
            [length / 2, length / 2, -length / 2, -length / 2] * 2,
            [0, 0, 0, 0, -h, -h, -h, -h],
            [w / 2, -w / 2, -w / 2, w / 2] * 2,
        ]
    )
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    camera = (turn @ corners).T + (x, y, z)
    return np.column_stack([camera, np.ones(8)]) @ np.linalg.inv(lidar2rect).T[:, :3]


def check_kitti_in_mmdet3d(root: Path, info_file: Path) -> None:
    """mmdet3d's own dataset reads the infos; its boxes are the labels'."""
    from mmcv.ops import points_in_boxes_cpu
    from mmdet3d.datasets import KittiDataset
    from mmdet3d.registry import TRANSFORMS

    prefix = dict(pts='training/velodyne', img='training/image_2')
    modality = dict(use_lidar=True, use_camera=True)
    dataset = KittiDataset(
        data_root=str(root), ann_file=str(info_file), data_prefix=prefix, modality=modality
    )
    for index, entry in enumerate(load(info_file)['data_list']):
        info = dataset.get_data_info(index)
        assert Path(info['img_path']).is_file()
        stem = Path(info['lidar_points']['lidar_path']).stem
        lidar2rect = np.array(entry['images']['CAM2']['lidar2cam'])
        label = root / 'training/label_2' / f'{stem}.txt'
        rows = [line.split() for line in label.read_text().splitlines()]
        rows = [row for row in rows if row[0] in dataset.METAINFO['classes']]
        boxes = info['ann_info']['gt_bboxes_3d']
        assert len(boxes) == len(rows) > 0
        # mmdet3d's boxes stand upright in the LiDAR frame, the labels in the camera's: those
        # frames are tilted by about a degree to each other, a few centimetres at the corners.
        for ours, row in zip(boxes.corners.numpy(), rows, strict=True):
            expected = kitti_corners(row, lidar2rect)
            np.testing.assert_allclose(ours.mean(0), expected.mean(0), atol=0.05)
            distances = np.linalg.norm(ours[:, None] - expected[None], axis=-1).min(axis=1)
            assert distances.max() < 0.15
        load_points = TRANSFORMS.build(
            dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4)
        )
        points = load_points(info)['points'].tensor[:, :3]
        inside = points_in_boxes_cpu(points[None], boxes.tensor[None, :, :7])[0].sum(0).numpy()
        counted = [i['num_lidar_pts'] for i in entry['instances'] if i['bbox_label_3d'] >= 0]
        np.testing.assert_allclose(inside, counted, atol=5, rtol=0.1)


def test_kitti(kitti_root, tmp_path):
    written = converters.create_kitti_infos(kitti_root, tmp_path, check=True)
    assert list(written) == ['train', 'val', 'test']
    (info,) = load(written['train'])['data_list']
    check_kitti(kitti_root, info)
    check_kitti_in_mmdet3d(kitti_root, written['train'])
    # Labels are taken for moderate, unknown and DontCare, in this order.
    assert [i['bbox_label_3d'] for i in info['instances']] == [2, -1, -1]
    assert [i['difficulty'] for i in info['instances']] == [1, 1, -1]
    assert [i['index'] for i in info['instances']] == [0, 1, -1]
    (test,) = load(written['test'])['data_list']
    assert 'instances' not in test
    check_kitti(kitti_root, test, 'testing')


def test_kitti_real_frames(real_data, tmp_path):
    root = real_data / 'kitti'
    written = converters.create_kitti_infos(root, tmp_path, check=True)
    for info in load(written['trainval'])['data_list']:
        check_kitti(root, info)
    check_kitti_in_mmdet3d(root, written['trainval'])


# ---------------------------------------------------------------- broken data


def edit_json(path: Path, change) -> None:
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows))


def cut(path: Path, drop: int) -> None:
    path.write_bytes(path.read_bytes()[:-drop])


def first(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


def edit_row(table: str, token: str, change):
    """Damage of one row of a nuScenes table."""
    return lambda root: edit_json(
        root / f'v1.0-mini/{table}.json',
        lambda rows: change(next(row for row in rows if row['token'] == token)),
    )


def without(table: str, token: str, field: str):
    return edit_row(table, token, lambda row: row.pop(field))


def overwrite_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[60:90] = b'\xff' * 30
    path.write_bytes(data)


def save_array(path: Path) -> None:
    with path.open('wb') as file:
        np.save(file, np.zeros(400))


def labels_outside(root: Path) -> None:
    """Labels that would do, but for their place."""
    shutil.copy(first(root, 'lidarseg/v1.0-mini/*'), root.parent / 'outside_lidarseg.bin')
    edit_json(
        root / 'v1.0-mini/lidarseg.json',
        lambda rows: rows[0].update(filename='../outside_lidarseg.bin'),
    )


def calibrated(rows: list[dict]) -> dict:
    return next(row for row in rows if row['token'] == 'cal-CAM_FRONT')


def rename_token(path: Path) -> None:
    rows = json.loads(path.read_text())
    rows[0]['token'] = 'another'
    path.write_text(json.dumps(rows))


NUSCENES_FAULTS = {
    'no table': (
        lambda r: (r / 'v1.0-mini/ego_pose.json').unlink(),
        r'ego_pose\.json is missing',
    ),
    'broken table': (
        lambda r: (r / 'v1.0-mini/scene.json').write_text('[{"token": '),
        r'scene\.json is not valid JSON',
    ),
    'no image': (lambda r: first(r, 'samples/CAM_BACK/*').unlink(), r'CAM_BACK\.jpg is missing'),
    'unreadable image': (
        lambda r: first(r, 'samples/CAM_BACK/*').write_bytes(b'no image'),
        r'CAM_BACK\.jpg is not a readable image',
    ),
    'cut image': (
        lambda r: cut(first(r, 'samples/CAM_BACK/*'), 900),
        r'CAM_BACK\.jpg is (damaged|not a readable)',
    ),
    'truncated scan': (
        lambda r: cut(first(r, 'samples/LIDAR_TOP/*'), 3),
        r'LIDAR_TOP\.pcd\.bin is truncated: 7997 bytes .* multiple of 20',
    ),
    'empty scan': (
        lambda r: first(r, 'samples/LIDAR_TOP/*').write_bytes(b''),
        r'LIDAR_TOP\.pcd\.bin is truncated: 0 bytes',
    ),
    'non-finite point': (
        lambda r: np.full((4, 5), np.nan, np.float32).tofile(first(r, 'samples/LIDAR_TOP/*')),
        r'(LIDAR_TOP\.pcd\.bin: 4 of 4 points are not finite|_lidarseg\.bin has 400 bytes)',
    ),
    'short labels': (
        lambda r: cut(first(r, 'lidarseg/v1.0-mini/*'), 1),
        r'_lidarseg\.bin has 399 bytes, but the scan has 400 points',
    ),
    'no label file': (
        lambda r: first(r, 'panoptic/v1.0-mini/*').unlink(),
        r'refused by nuscenes-devkit: .*label files',
    ),
    'wrong size': (
        lambda r: edit_json(
            r / 'v1.0-mini/sample_data.json', lambda rows: [x.update(width=65) for x in rows]
        ),
        r'is 64x48, but sample_data\.json says 65x48',
    ),
    'a lens': (
        lambda r: edit_json(
            r / 'v1.0-mini/calibrated_sensor.json',
            lambda rows: [x.update(camera_distortion=[0, 0.1, 0, 0]) for x in rows],
        ),
        r'camera_distortion of CAM_\w+ \(cal-CAM_\w+\) is not 0; take the distortion out',
    ),
    'intrinsics of the wrong shape': (
        lambda r: edit_json(
            r / 'v1.0-mini/calibrated_sensor.json',
            lambda rows: calibrated(rows).update(camera_intrinsic=[[1, 0], [0, 1]]),
        ),
        r'camera_intrinsic of CAM_FRONT.* must be 3x3',
    ),
    'rotation that is none': (
        lambda r: edit_json(
            r / 'v1.0-mini/calibrated_sensor.json',
            lambda rows: calibrated(rows).update(rotation=[1, 1, 0, 0]),
        ),
        r'calibrated_sensor\.json: cal-CAM_FRONT: rotation must be a unit quaternion',
    ),
    'rotation of words': (
        edit_row('calibrated_sensor', 'cal-CAM_FRONT', lambda row: row.update(rotation='north')),
        r'calibrated_sensor\.json: cal-CAM_FRONT: rotation and translation must be numbers',
    ),
    'no intrinsics': (
        without('calibrated_sensor', 'cal-CAM_FRONT', 'camera_intrinsic'),
        r"/v1\.0-mini: a row of the sample scene-0061-0 lacks the field 'camera_intrinsic'\.$",
    ),
    'no rotation': (
        without('ego_pose', 'scene-0061-1-CAM_BACK', 'rotation'),
        r"/v1\.0-mini: a row of the sample scene-0061-1 lacks the field 'rotation'\.$",
    ),
    'no height': (
        without('sample_data', 'scene-0061-0-CAM_BACK', 'height'),
        r"/v1\.0-mini: a row of the sample scene-0061-0 lacks the field 'height'\.$",
    ),
    'timestamp of words': (
        edit_row('sample', 'scene-0061-1', lambda row: row.update(timestamp='noon')),
        r'/v1\.0-mini: a row of the sample scene-0061-1 has a field of the wrong type: ',
    ),
    'pose that is not there': (
        edit_row(
            'sample_data', 'scene-0061-1-LIDAR_TOP', lambda row: row.update(ego_pose_token='x')
        ),
        r"/v1\.0-mini: a row of the sample scene-0061-1 refers to the token 'x', which is missing",
    ),
    'next sample that is not there': (
        edit_row('sample', 'scene-0061-0', lambda row: row.update(next='x')),
        r"/v1\.0-mini: a row of the scene scene-0061 refers to the token 'x', which is missing",
    ),
    'scene without a name': (
        without('scene', 'scene-0103', 'name'),
        r"/v1\.0-mini: a row of scene\.json lacks the field 'name'\.$",
    ),
    'no reference': (
        without('sample_data', 'scene-0061-0-CAM_BACK', 'calibrated_sensor_token'),
        r'/v1\.0-mini: sample_data\.json: the row scene-0061-0-CAM_BACK of the sample '
        r"scene-0061-0 lacks the field 'calibrated_sensor_token'\.$",
    ),
    'sensor that is not there': (
        edit_row(
            'sample_data',
            'scene-0061-0-CAM_BACK',
            lambda row: row.update(calibrated_sensor_token='x'),
        ),
        r'sample_data\.json: the row scene-0061-0-CAM_BACK of the sample scene-0061-0 has the '
        r"calibrated_sensor_token 'x', which is not in calibrated_sensor\.json\.$",
    ),
    'no token': (
        without('ego_pose', 'scene-0061-0-LIDAR_TOP', 'token'),
        r"ego_pose\.json: row 0 \(from 0\) lacks the field 'token'\.$",
    ),
    'map without logs': (
        without('map', 'map', 'log_tokens'),
        r"map\.json: the row map lacks the field 'log_tokens'\.$",
    ),
    'table of numbers': (
        lambda r: (r / 'v1.0-mini/sensor.json').write_text('[1, 2]'),
        r'sensor\.json must hold a list of rows, each an object\.$',
    ),
    'table that is not UTF-8': (
        lambda r: (r / 'v1.0-mini/scene.json').write_bytes(b'["M\xfcnchen"]'),
        r'scene\.json is not UTF-8 text: ',
    ),
    'a scan that lidarseg.json leaves out': (
        lambda r: rename_token(r / 'v1.0-mini/lidarseg.json'),
        r'v1\.0-mini/lidarseg\.json has no row of the scan ',
    ),
    'panoptic labels of another length': (
        lambda r: np.savez(first(r, 'panoptic/v1.0-mini/*'), data=np.zeros(7, np.uint16)),
        r'_panoptic\.npz labels 7 points, but the scan has 400\.$',
    ),
    'labels that are no archive': (
        lambda r: first(r, 'panoptic/v1.0-mini/*').write_bytes(b'no archive'),
        r'_panoptic\.npz is no readable \.npz file',
    ),
    'empty labels': (
        lambda r: first(r, 'panoptic/v1.0-mini/*').write_bytes(b''),
        r'_panoptic\.npz is no readable \.npz file',
    ),
    'cut labels': (
        lambda r: cut(first(r, 'panoptic/v1.0-mini/*'), 30),
        r'_panoptic\.npz is no readable \.npz file',
    ),
    'damaged labels': (
        lambda r: overwrite_middle(first(r, 'panoptic/v1.0-mini/*')),
        r'_panoptic\.npz is no readable \.npz file',
    ),
    'labels of another name': (
        lambda r: np.savez(first(r, 'panoptic/v1.0-mini/*'), labels=np.zeros(400)),
        r"_panoptic\.npz is no readable \.npz file with an array 'data'",
    ),
    'labels outside of the root': (
        labels_outside,
        r'v1\.0-mini/lidarseg\.json: the path \.\./outside_lidarseg\.bin leads out of .*/root\.$',
    ),
    **{
        f'{channel} outside of the root': (
            edit_row(
                'sample_data',
                f'scene-0061-0-{channel}',
                lambda row: row.update(filename='/etc/passwd'),
            ),
            r'v1\.0-mini/sample_data\.json: the path /etc/passwd leads out of .*/root\.$',
        )
        for channel in ('LIDAR_TOP', 'CAM_BACK')
    },
    'labels in a bare array': (
        lambda r: save_array(first(r, 'panoptic/v1.0-mini/*')),
        r'_panoptic\.npz is no readable \.npz file',
    ),
    **{
        f'splits: {content}': (
            lambda r, content=content: (r / 'splits.json').write_text(content),
            rf'splits\.json {message}',
        )
        for content, message in {
            '[]': 'must map each split to a list of names',
            '{"train": "scene-0061"}': 'must map each split to a list of names',
            '{"train": [["scene-0061"]]}': 'must map each split to a list of names',
            '{"train": [61]}': 'must map each split to a list of names',
            '{}': 'names nothing: each of its splits is empty',
            '{"train": [], "val": []}': 'names nothing: each of its splits is empty',
        }.items()
    },
}


@pytest.mark.parametrize('fault', NUSCENES_FAULTS)
def test_nuscenes_faults(fault, nuscenes_root, tmp_path):
    root = shutil.copytree(nuscenes_root, tmp_path / 'root')
    damage, message = NUSCENES_FAULTS[fault]
    damage(root)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        converters.create_nuscenes_infos(root, tmp_path / 'out', check=True)
    assert not (tmp_path / 'out').exists()


def replace_line(path: Path, name: str, text: str | None) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith(f'{name}:')]
    path.write_text('\n'.join([*lines, *([f'{name}: {text}'] if text else [])]) + '\n')


SEQUENCE = 'sequences/00'
SEMANTICKITTI_FAULTS = {
    'no calibration': (
        lambda r: (r / SEQUENCE / 'calib.txt').unlink(),
        r'00/calib\.txt is missing',
    ),
    'no Tr': (
        lambda r: replace_line(r / SEQUENCE / 'calib.txt', 'Tr', None),
        r'calib\.txt has no Tr; it has',
    ),
    'short Tr': (
        lambda r: replace_line(r / SEQUENCE / 'calib.txt', 'Tr', '1 0 0 0 1 0 0 0 1'),
        r'calib\.txt: Tr has 9 numbers, expected 3x4',
    ),
    'Tr that mirrors': (
        lambda r: replace_line(r / SEQUENCE / 'calib.txt', 'Tr', '-1 0 0 0 0 1 0 0 0 0 1 0'),
        r'calib\.txt: Tr is not a rigid motion',
    ),
    'Tr that scales': (
        lambda r: replace_line(r / SEQUENCE / 'calib.txt', 'Tr', '1.1 0 0 0 0 1 0 0 0 0 1 0'),
        r'calib\.txt: Tr is not a rigid motion',
    ),
    'no camera matrix': (
        lambda r: replace_line(r / SEQUENCE / 'calib.txt', 'P2', '0 0 0 0 0 1 0 0 0 0 1 0'),
        r'calib\.txt: the left 3x3 of P2 is not a camera matrix',
    ),
    'a shift that is not finite': (
        lambda r: replace_line(
            r / SEQUENCE / 'calib.txt', 'P2', '700 0 600 inf 0 700 180 0 0 0 1 0'
        ),
        r'calib\.txt: P2 holds numbers that are not finite',
    ),
    'a label that no class has': (
        lambda r: np.full(400, 77, '<u4').tofile(r / SEQUENCE / 'labels/000001.label'),
        r'000001\.label holds unknown raw labels \[77\] on 400 of 400 points',
    ),
    'an image less': (
        lambda r: (r / SEQUENCE / 'image_2/000002.png').unlink(),
        r'image_2/000002\.png is missing',
    ),
    'cut image': (
        lambda r: cut(r / SEQUENCE / 'image_2/000001.png', 2000),
        r'000001\.png is (damaged|not a readable)',
    ),
    'truncated scan': (
        lambda r: cut(r / SEQUENCE / 'velodyne/000003.bin', 1),
        r'000003\.bin is truncated: 6399 bytes',
    ),
    'label missing': (
        lambda r: (r / SEQUENCE / 'labels/000001.label').unlink(),
        r'000001\.label is missing',
    ),
    'short labels': (
        lambda r: cut(r / SEQUENCE / 'labels/000001.label', 4),
        r'000001\.label has 1596 bytes',
    ),
    'few times': (
        lambda r: (r / SEQUENCE / 'times.txt').write_text('0\n0.1\n'),
        r'times\.txt has 2 lines, none for the frame 2',
    ),
    'poses of the wrong shape': (
        lambda r: (r / SEQUENCE / 'poses.txt').write_text('1 0 0\n'),
        r'poses\.txt must have 12 numbers a line',
    ),
    'calibration that is not UTF-8': (
        lambda r: (r / SEQUENCE / 'calib.txt').write_bytes(b'P0: \xff\xfe\n'),
        r'calib\.txt is not UTF-8 text: ',
    ),
    'poses that are not UTF-8': (
        lambda r: (r / SEQUENCE / 'poses.txt').write_bytes(b'\xff' * 24),
        r'poses\.txt is not UTF-8 text: ',
    ),
    'a file that is no scan': (
        lambda r: (r / SEQUENCE / 'velodyne/._000000.bin').write_bytes(bytes(16)),
        r'velodyne/\._000000\.bin is no scan of the layout',
    ),
    'no split': (
        lambda r: (r / 'splits.json').write_text('{"train": []}'),
        r'splits\.json names nothing: each of its splits is empty',
    ),
}


@pytest.mark.parametrize('fault', SEMANTICKITTI_FAULTS)
def test_semantickitti_faults(fault, semantickitti_root, tmp_path):
    root = shutil.copytree(semantickitti_root, tmp_path / 'root')
    damage, message = SEMANTICKITTI_FAULTS[fault]
    damage(root)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        converters.create_semantickitti_infos(root, tmp_path / 'out', check=True)
    assert not (tmp_path / 'out').exists()


def test_semantickitti_without_images_serves_segmentation(semantickitti_root, tmp_path, capsys):
    root = shutil.copytree(semantickitti_root, tmp_path / 'root')
    shutil.rmtree(root / SEQUENCE / 'image_2')
    (root / SEQUENCE / 'calib.txt').unlink()
    path = converters.create_semantickitti_infos(root, tmp_path)['train']
    assert 'no image_2' in capsys.readouterr().out
    data = dict(ann_file=str(path), data_root=str(root))
    scans = SemanticKittiSegmentationDataset(**data)
    assert len(scans) == 4
    assert Path(scans.get_data_info(0)['pts_semantic_mask_path']).is_file()
    with pytest.raises(ValueError, match='00_000000 has no camera image_2; it has none'):
        SemanticKittiCalibrationDataset(**data)


def test_semantickitti_frames_that_are_not_there(semantickitti_root, tmp_path):
    splits = dict([parse_split('train=00:2-9')])
    with pytest.raises(ValueError, match=r'00/velodyne has 2 scans from 2 to 9, expected 8'):
        converters.create_semantickitti_infos(semantickitti_root, tmp_path, splits)


OTHER_ROWS = {
    'float64': lambda rows, rng: rows.astype('f8'),
    'three columns': lambda rows, rng: rows[:, :3],
    'ring and time': lambda rows, rng: np.c_[
        rows, np.arange(len(rows)) % 64, rng.random(len(rows))
    ],
    'scores': lambda rows, rng: np.c_[rows, rng.random((len(rows), 4))],
}


@pytest.mark.parametrize('check', [False, True])
@pytest.mark.parametrize('other', OTHER_ROWS)
def test_scans_of_another_layout(other, check, tmp_path):
    """In each converter, whichever the frame is; nothing is written."""
    rng = np.random.default_rng(0)
    rows = np.c_[rng.uniform([0, -30, -2], [60, 30, 1], (4800, 3)), rng.random(4800)]
    rows = OTHER_ROWS[other](rows.astype(np.float32), rng)
    content = rows.astype('f8' if other == 'float64' else 'f4').tobytes()
    make_kitti(tmp_path / 'kitti')
    make_semantickitti(tmp_path / 'semantickitti', labels=False)
    make_semantickitti(tmp_path / 'semanticposs')
    make_nuscenes(tmp_path / 'nuscenes', labels=False)
    for kind, pattern in (
        ('kitti', 'training/velodyne/000001.bin'),
        ('kitti', 'testing/velodyne/000000.bin'),
        ('semantickitti', 'sequences/00/velodyne/000002.bin'),
        ('semanticposs', 'sequences/00/velodyne/000003.bin'),
        ('nuscenes', 'samples/LIDAR_TOP/scene-0061-1-LIDAR_TOP.pcd.bin'),
    ):
        path = tmp_path / kind / pattern
        before = path.read_bytes()
        path.write_bytes(content)
        create = getattr(converters, f'create_{kind}_infos')
        message = rf'{path.name} does not hold [45] float32 numbers a point'
        with pytest.raises(ValueError, match=message):
            create(tmp_path / kind, tmp_path / 'out', check=check)
        assert not (tmp_path / 'out').exists()
        path.write_bytes(before)


def test_kitti_boxes_that_hold_no_point(kitti_root, tmp_path, capsys):
    root = shutil.copytree(kitti_root, tmp_path / 'root')
    converters.create_kitti_infos(root)
    assert 'hold a point' not in capsys.readouterr().out
    for path in root.glob('training/velodyne/*.bin'):
        (np.fromfile(path, np.float32).reshape(-1, 4) * (1, 1, 0, 1) - (0, 0, 50, 0)).astype(
            np.float32
        ).tofile(path)
    converters.create_kitti_infos(root)
    assert f'label_2: {EMPTY.format(0, 4)}' in capsys.readouterr().out
    for path in root.glob('training/label_2/*.txt'):
        path.write_text(''.join(x for x in path.read_text().splitlines(True) if 'DontCare' in x))
    converters.create_kitti_infos(root)
    assert 'hold a point' not in capsys.readouterr().out


def renamed(folder: Path, names: list[str]) -> None:
    for path, name in zip(sorted(folder.iterdir(), reverse=True), names[::-1], strict=True):
        path.rename(path.with_stem(name))


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    root = make_semantickitti(tmp_path / 'root', frames=12, labels=True)
    for folder in ('velodyne', 'labels', 'image_2', 'image_3'):
        renamed(root / SEQUENCE / folder, [str(i) for i in range(12)])
    for part, expected in (('a=00', range(12)), ('a=00:3-11', range(3, 12))):
        splits = dict([parse_split(part)])
        infos = load(converters.create_semantickitti_infos(root, tmp_path, splits)['a'])
        names = [Path(i['lidar_points']['lidar_path']).stem for i in infos['data_list']]
        assert names == [str(i) for i in expected]
        times = [i['timestamp'] for i in infos['data_list']]
        np.testing.assert_allclose(times, [i / 10 for i in expected])
        for i in infos['data_list']:
            labels = Path(i['pts_semantic_mask_path']).stem
            image = Path(i['images']['image_3']['img_path']).stem
            assert {labels, image} == {Path(i['lidar_points']['lidar_path']).stem}
        infos = load(converters.create_semanticposs_infos(root, tmp_path, splits)['a'])
        assert [Path(i['lidar_points']['lidar_path']).stem for i in infos['data_list']] == names
    velodyne = root / SEQUENCE / 'velodyne'
    shutil.copy(velodyne / '7.bin', velodyne / '000007.bin')
    with pytest.raises(
        ValueError, match=r'velodyne has two files of the frame .*: 000007\.bin and 7\.bin\.$'
    ):
        converters.create_semantickitti_infos(root, tmp_path, splits)


KITTI_FAULTS = {
    'no lists': (lambda r: shutil.rmtree(r / 'ImageSets'), r'ImageSets is missing'),
    'no label': (
        lambda r: (r / 'training/label_2/000000.txt').unlink(),
        r'label_2/000000\.txt is missing',
    ),
    'broken label': (
        lambda r: (r / 'training/label_2/000000.txt').write_text('Car 0 0 what\n'),
        r'label_2/000000\.txt must have a name and 14 numbers',
    ),
    'label that is not UTF-8': (
        lambda r: (r / 'training/label_2/000000.txt').write_bytes(b'\xff\xfe'),
        r'label_2/000000\.txt is not UTF-8 text: ',
    ),
    'list that is not UTF-8': (
        lambda r: (r / 'ImageSets/train.txt').write_bytes(b'\xff\xfe'),
        r'ImageSets/train\.txt is not UTF-8 text: ',
    ),
    'rectification that is none': (
        lambda r: replace_line(r / 'training/calib/000001.txt', 'R0_rect', '1 0 0 0 2 0 0 0 1'),
        r'calib/000001\.txt: R0_rect Tr_velo_to_cam is not a rigid motion',
    ),
    'a shift that is not finite': (
        lambda r: replace_line(
            r / 'training/calib/000001.txt', 'P2', '700 0 600 nan 0 700 180 0 0 0 1 0'
        ),
        r'calib/000001\.txt: P2 holds numbers that are not finite',
    ),
    'frame of another folder': (
        lambda r: (r / 'ImageSets/train.txt').write_text('000000 ../../testing/velodyne/000000'),
        r"ImageSets/train\.txt must list frames by their numbers, got '\.\./",
    ),
    'no scan': (
        lambda r: (r / 'testing/velodyne/000000.bin').unlink(),
        r'testing/velodyne/000000\.bin is missing',
    ),
}


@pytest.mark.parametrize('fault', KITTI_FAULTS)
def test_kitti_faults(fault, kitti_root, tmp_path):
    root = shutil.copytree(kitti_root, tmp_path / 'root')
    damage, message = KITTI_FAULTS[fault]
    damage(root)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        converters.create_kitti_infos(root, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_an_info_file_is_never_half_written(tmp_path, monkeypatch):
    from nclr_mm.datasets.converters import common

    path = tmp_path / 'infos.pkl'
    common.write_infos(path, dict(dataset='x'), [dict(sample_idx=0)])
    before = path.read_bytes()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        common.write_infos(path, dict(dataset='x'), [dict(sample_idx=lambda: 0)])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ['infos.pkl']


def test_scans_in_millimetres_are_refused(tmp_path):
    root = tmp_path / 'semantickitti'
    make_semantickitti(root)
    for path in root.rglob('*.bin'):
        points = np.fromfile(path, np.float32).reshape(-1, 4)
        points[:, :3] *= 1000
        points.tofile(path)
    with pytest.raises(
        ValueError, match=r'\.bin: half of the points are farther than .* in metres'
    ):
        converters.create_semantickitti_infos(root, splits=dict(train=[Part('00')]))
    assert not list(root.glob('*.pkl'))
