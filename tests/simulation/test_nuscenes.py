"""The nuScenes layout, read and projected by nuscenes-devkit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud
from nuscenes.utils.geometry_utils import points_in_box
from pyquaternion import Quaternion

from nclr_mm.simulation.labels import TO_LIDARSEG, Semantic


@pytest.fixture(scope='module')
def nusc(nuscenes_drive) -> NuScenes:
    return NuScenes('v1.0-mini', str(nuscenes_drive.root), verbose=False)


def lidar_token(nusc: NuScenes, index: int) -> str:
    return nusc.sample[index]['data']['LIDAR_TOP']


def global_points(nusc: NuScenes, index: int) -> np.ndarray:
    data = nusc.get('sample_data', lidar_token(nusc, index))
    cloud = LidarPointCloud.from_file(f'{nusc.dataroot}/{data["filename"]}')
    for table, key in (
        ('calibrated_sensor', 'calibrated_sensor_token'),
        ('ego_pose', 'ego_pose_token'),
    ):
        row = nusc.get(table, data[key])
        cloud.rotate(Quaternion(row['rotation']).rotation_matrix)
        cloud.translate(np.array(row['translation']))
    return cloud.points[:3].T


def lidarseg(nusc: NuScenes, index: int) -> np.ndarray:
    row = nusc.get('lidarseg', lidar_token(nusc, index))
    return np.fromfile(f'{nusc.dataroot}/{row["filename"]}', np.uint8)


def panoptic(nusc: NuScenes, index: int) -> np.ndarray:
    row = nusc.get('panoptic', lidar_token(nusc, index))
    return np.load(f'{nusc.dataroot}/{row["filename"]}')['data']


def test_devkit_opens_all_tables(nusc):
    assert len(nusc.sample) == 2 and len(nusc.scene) == 1
    assert len(nusc.sensor) == 7
    assert set(nusc.sample[0]['data']) == {s['channel'] for s in nusc.sensor}
    assert nusc.sample[0]['next'] == nusc.sample[1]['token']
    assert nusc.lidarseg_idx2name_mapping[17] == 'vehicle.car'
    nusc.get_sample_lidarseg_stats(nusc.sample[0]['token'])
    for scene in nusc.scene:
        assert nusc.get('log', scene['log_token'])['map_token']
    splits = json.loads((Path(nusc.dataroot) / 'splits.json').read_text())
    assert splits == {'train': ['scene-0001'], 'val': []}


def test_labels_have_one_entry_a_point(nusc):
    for index in range(2):
        points = global_points(nusc, index)
        labels, both = lidarseg(nusc, index), panoptic(nusc, index)
        assert len(points) == len(labels) == len(both) > 20000
        assert both.dtype == np.uint16
        np.testing.assert_array_equal(both // 1000, labels)
        assert {24, 26, 28} <= set(labels.tolist())


@pytest.mark.parametrize('channel', ['CAM_FRONT', 'CAM_BACK_LEFT', 'CAM_BACK'])
def test_devkit_projection_lands_on_what_the_caster_saw(nusc, nuscenes_drive, channel):
    sample = nusc.sample[1]
    pixels, depth, _ = nusc.explorer.map_pointcloud_to_image(
        sample['data']['LIDAR_TOP'], sample['data'][channel]
    )
    picture = nuscenes_drive.captures[1].pictures[channel]
    camera = next(c for c in nuscenes_drive.rig.cameras if c.name == channel)
    column, row = np.round(pixels[:2]).astype(int)
    seen = picture.distance * camera.rays[:, 2].reshape(picture.distance.shape)
    gap = np.abs(seen[row, column] - depth)
    # The rest lies behind something: LiDAR and camera look from different places.
    assert len(depth) > 500
    assert (gap < 0.06 + 0.02 * depth).mean() > 0.8


def test_devkit_projection_of_cars_lands_on_cars(nusc, nuscenes_drive):
    sample = nusc.sample[0]
    total = right = 0
    for camera in nuscenes_drive.rig.cameras:
        pixels, colour, _ = nusc.explorer.map_pointcloud_to_image(
            sample['data']['LIDAR_TOP'],
            sample['data'][camera.name],
            show_lidarseg=True,
            filter_lidarseg_labels=[17],
        )
        cars = colour[:, 3] > 0
        column, row = np.round(pixels[:2, cars]).astype(int)
        classes = nuscenes_drive.captures[0].pictures[camera.name].semantic[row, column]
        total += cars.sum()
        right += (classes == Semantic.CAR).sum()
    assert total > 300
    assert right / total > 0.85


def test_boxes_hold_their_instances_points(nusc):
    checked = 0
    for index in range(2):
        sample = nusc.sample[index]
        points = global_points(nusc, index)
        labels = panoptic(nusc, index)
        for token in sample['anns']:
            box = nusc.get_box(token)
            inside = points_in_box(box, points.T)
            row = nusc.get('sample_annotation', token)
            # The devkit counts by its own formula; a point on a face may fall either way.
            assert abs(int(inside.sum()) - row['num_lidar_pts']) <= 2
            if inside.sum() < 30:
                continue
            values, counts = np.unique(labels[inside], return_counts=True)
            best = values[counts.argmax()]
            category = nusc.get(
                'category', nusc.get('instance', row['instance_token'])['category_token']
            )
            assert best // 1000 == category['index']
            assert counts.max() / counts.sum() > 0.8
            of_instance = labels == best
            assert inside[of_instance].mean() > 0.75  # range noise pushes some out
            checked += 1
    assert checked > 8


def test_static_points_of_two_frames_coincide(nusc, point_to_surface):
    clouds = []
    for index in range(2):
        still = np.isin(lidarseg(nusc, index), [24, 26, 28])
        clouds.append(global_points(nusc, index)[still])
    gap = point_to_surface(clouds[0], clouds[1])
    assert len(gap) > 3000
    assert np.median(gap) < 0.03
    data = [nusc.get('sample_data', lidar_token(nusc, k)) for k in range(2)]
    moved = np.subtract(*(nusc.get('ego_pose', d['ego_pose_token'])['translation'] for d in data))
    assert np.linalg.norm(moved) > 1.0


def test_ego_stands_on_drivable_ground(nusc):
    data = nusc.get('sample_data', lidar_token(nusc, 0))
    pose = nusc.get('ego_pose', data['ego_pose_token'])
    mask = nusc.get('map', nusc.get('log', nusc.scene[0]['log_token'])['map_token'])['mask']
    x, y = pose['translation'][:2]
    assert mask.is_on_mask(x, y).all()


def test_moving_objects_move_and_parked_ones_stay(nusc):
    moved = stayed = 0
    attribute = {a['token']: a['name'] for a in nusc.attribute}
    for instance in nusc.instance:
        if instance['nbr_annotations'] < 2:
            continue
        first = nusc.get('sample_annotation', instance['first_annotation_token'])
        last = nusc.get('sample_annotation', instance['last_annotation_token'])
        step = np.linalg.norm(np.subtract(first['translation'], last['translation']))
        names = [attribute[t] for t in first['attribute_tokens']]
        if 'vehicle.moving' in names:
            moved += 1
            assert step > 0.2
        if 'vehicle.parked' in names:
            stayed += 1
            assert step < 1e-6
    assert moved and stayed


def test_lidarseg_table_is_the_devkits():
    from nuscenes.utils.color_map import get_colormap

    from nclr_mm.simulation.labels import CLASSES, NUSCENES_LIDARSEG

    assert tuple(get_colormap()) == NUSCENES_LIDARSEG
    assert all(TO_LIDARSEG[s] == NUSCENES_LIDARSEG.index(c.nuscenes) for s, c in CLASSES.items())
