"""nuScenes v1.0 layout: thirteen tables, samples, lidarseg and panoptic labels.

Formats: nuscenes-devkit's ``docs/schema_nuscenes.md`` and lidarseg and panoptic readmes.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from pyquaternion import Quaternion

from nclr_mm.writing import write_whole

from .. import layout
from ..capture import Box, Capture
from ..labels import CLASSES, IS_THING, NUSCENES_LIDARSEG, TO_LIDARSEG, Semantic
from ..mesh import Array
from ..scene import Scene
from ..sensors import Rig, nuscenes_rig
from .base import Record, split_of
from .files import write_archive, write_image, write_json

VERSION = 'v1.0-mini'
EPOCH = 1_600_000_000_000_000  # microseconds; the first scene begins here
# Brings the quartiles of intensity near those of nuScenes scene-0061 (6, 12, 24).
INTENSITY_SCALE = 140.0
MAP_CELL = 0.1  # metres; the devkit's MapMask takes this for granted
_ATTRIBUTES = {
    'vehicle.moving': 'Vehicle is moving.',
    'vehicle.stopped': 'Vehicle stands, with its driver.',
    'vehicle.parked': 'Vehicle stands, without a driver.',
    'pedestrian.moving': 'Pedestrian moves.',
    'pedestrian.standing': 'Pedestrian stands.',
    'cycle.with_rider': 'Cycle with rider.',
    'cycle.without_rider': 'Cycle without rider.',
}
_VISIBILITY = {'1': 'v0-40', '2': 'v40-60', '3': 'v60-80', '4': 'v80-100'}


def _token(*parts: object) -> str:
    """A 32-digit token that depends on its parts only."""
    return hashlib.md5('/'.join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def _pose(pose: Array) -> dict[str, list[float]]:
    return {
        'translation': [float(v) for v in pose[:3, 3]],
        'rotation': [float(v) for v in Quaternion(matrix=pose[:3, :3]).elements],
    }


def _attribute(box: Box) -> str | None:
    if box.semantic in (Semantic.CAR, Semantic.TRUCK, Semantic.BUS):
        return 'vehicle.moving' if box.moving else 'vehicle.parked'
    if box.semantic == Semantic.PEDESTRIAN:
        return 'pedestrian.moving' if box.moving else 'pedestrian.standing'
    if box.semantic == Semantic.CYCLIST:
        return 'cycle.with_rider'
    if box.semantic in (Semantic.BICYCLE, Semantic.MOTORCYCLE):
        return 'cycle.without_rider'
    return None


class NuScenesWriter:
    """Writes ``root`` as a nuScenes data root of version ``v1.0-mini``."""

    name = 'nuscenes'
    interval = 0.5

    def __init__(self, seed: int, scenes: int) -> None:
        self.seed = seed
        self.scenes = scenes

    def make_rig(self, rng: np.random.Generator) -> Rig:
        return nuscenes_rig(rng)

    def _id(self, *parts: object) -> str:
        return _token(self.seed, *parts)

    def write_frame(
        self, root: Path, scene_index: int, frame: int, scene: Scene, rig: Rig, capture: Capture
    ) -> Record:
        """Writes a key frame's files and returns its rows."""
        name = f'scene-{scene_index + 1:04d}'
        stamp = EPOCH + scene_index * 1_000_000_000 + round(float(scene.times[frame]) * 1e6)
        files = {}
        for channel, picture in capture.pictures.items():
            path = f'samples/{channel}/{name}__{channel}__{stamp}.jpg'
            write_image(root / path, picture.image, [cv2.IMWRITE_JPEG_QUALITY, 90])
            files[channel] = path
        sweep = capture.sweep
        channel = rig.lidar.name
        files[channel] = f'samples/{channel}/{name}__{channel}__{stamp}.pcd.bin'
        intensity = np.floor(sweep.reflectivity * INTENSITY_SCALE)
        cloud = np.concatenate([sweep.points, intensity[:, None], sweep.ring[:, None]], 1).astype(
            '<f4'
        )
        write_whole(root / files[channel], cloud.tobytes())
        token = self._id('data', scene_index, frame, channel)
        labels = TO_LIDARSEG[sweep.semantic]
        write_whole(root / f'lidarseg/{VERSION}/{token}_lidarseg.bin', labels.tobytes())
        things = IS_THING[sweep.semantic]
        panoptic = labels.astype(np.uint16) * 1000 + np.where(things, sweep.instance, 0)
        archive = root / f'panoptic/{VERSION}/{token}_panoptic.npz'
        write_archive(archive, panoptic.astype(np.uint16))
        if frame == 0:
            _write_map(root / f'maps/{self._id("map", scene_index)}.png', scene)
        return {
            'scene': scene_index,
            'frame': frame,
            'stamp': stamp,
            'files': files,
            'ego_pose': _pose(capture.ego_pose),
            'boxes': [
                self._annotation(scene_index, frame, box) for box in capture.boxes if box.num_points
            ],
            'calibration': self._calibration(scene_index, rig) if frame == 0 else [],
        }

    def _calibration(self, scene: int, rig: Rig) -> list[Record]:
        rows = [
            {
                'token': self._id('calibration', scene, rig.lidar.name),
                'sensor_token': self._id('sensor', rig.lidar.name),
                **_pose(rig.lidar.to_ego),
                'camera_intrinsic': [],
            }
        ]
        for camera in rig.cameras:
            rows.append(
                {
                    'token': self._id('calibration', scene, camera.name),
                    'sensor_token': self._id('sensor', camera.name),
                    **_pose(camera.to_ego),
                    'camera_intrinsic': camera.intrinsics.tolist(),
                    'size': [camera.width, camera.height],
                }
            )
        return rows

    def _annotation(self, scene: int, frame: int, box: Box) -> Record:
        length, width, height = (float(v) for v in box.size)
        attribute = _attribute(box)
        seen = min(sum(view.visible for view in box.views.values()), 1.0)
        return {
            'token': self._id('annotation', scene, frame, box.instance),
            'sample_token': self._id('sample', scene, frame),
            'instance_token': self._id('instance', scene, box.instance),
            'visibility_token': str(1 + int(np.digitize(seen, [0.4, 0.6, 0.8]))),
            'attribute_tokens': [self._id('attribute', attribute)] if attribute else [],
            **_pose(box.pose),
            'size': [width, length, height],
            'prev': '',
            'next': '',
            'num_lidar_pts': box.num_points,
            'num_radar_pts': 0,
            'category': CLASSES[box.semantic].nuscenes,
        }

    def finish(self, root: Path, records: list[Record]) -> None:
        """Writes the tables and ``splits.json``."""
        tables: dict[str, list[Record]] = defaultdict(list)
        self._fixed_tables(tables)
        by_scene: dict[int, list[Record]] = defaultdict(list)
        for record in records:
            by_scene[record['scene']].append(record)
        for scene, frames in sorted(by_scene.items()):
            self._scene_tables(tables, scene, frames)
        folder = root / VERSION
        folder.mkdir(parents=True, exist_ok=True)
        names = (
            'category',
            'attribute',
            'visibility',
            'instance',
            'sensor',
            'calibrated_sensor',
            'ego_pose',
            'log',
            'scene',
            'sample',
            'sample_data',
            'sample_annotation',
            'map',
            'lidarseg',
            'panoptic',
        )
        for name in names:
            write_json(folder / f'{name}.json', tables[name])
        splits: dict[str, list[str]] = {'train': [], 'val': []}
        for row in tables['scene']:
            scene = int(row['name'].split('-')[1]) - 1
            splits[split_of(scene, self.scenes)].append(row['name'])
        write_json(root / 'splits.json', splits)

    def _fixed_tables(self, tables: dict[str, list[Record]]) -> None:
        for index, name in enumerate(NUSCENES_LIDARSEG):
            tables['category'].append(
                {
                    'token': self._id('category', name),
                    'name': name,
                    'description': '',
                    'index': index,
                }
            )
        for name, text in _ATTRIBUTES.items():
            tables['attribute'].append(
                {'token': self._id('attribute', name), 'name': name, 'description': text}
            )
        for token, level in _VISIBILITY.items():
            tables['visibility'].append(
                {
                    'token': token,
                    'level': level,
                    'description': f'share seen in all images: {level[1:]} %',
                }
            )

    def _scene_tables(
        self, tables: dict[str, list[Record]], scene: int, frames: list[Record]
    ) -> None:
        name = f'scene-{scene + 1:04d}'
        log, scene_token = self._id('log', scene), self._id('scene', scene)
        tables['log'].append(
            {
                'token': log,
                'logfile': name,
                'vehicle': 'simulated',
                'date_captured': '2020-09-13',
                'location': 'simulation',
            }
        )
        tables['map'].append(
            {
                'token': self._id('map', scene),
                'log_tokens': [log],
                'category': 'semantic_prior',
                'filename': f'maps/{self._id("map", scene)}.png',
            }
        )
        samples = [self._id('sample', scene, f['frame']) for f in frames]
        tables['scene'].append(
            {
                'token': scene_token,
                'log_token': log,
                'nbr_samples': len(frames),
                'first_sample_token': samples[0],
                'last_sample_token': samples[-1],
                'name': name,
                'description': 'simulated drive',
            }
        )
        sizes: dict[str, list[int]] = {}
        for row in frames[0]['calibration']:
            sizes[row['token']] = row.pop('size', [0, 0])
            tables['calibrated_sensor'].append(row)
        if not tables['sensor']:
            for channel in frames[0]['files']:
                modality = 'lidar' if channel.startswith('LIDAR') else 'camera'
                tables['sensor'].append(
                    {'token': self._id('sensor', channel), 'channel': channel, 'modality': modality}
                )
        chains: dict[str, list[Record]] = defaultdict(list)
        for k, frame in enumerate(frames):
            tables['sample'].append(
                {
                    'token': samples[k],
                    'timestamp': frame['stamp'],
                    'scene_token': scene_token,
                    'prev': samples[k - 1] if k else '',
                    'next': samples[k + 1] if k + 1 < len(frames) else '',
                }
            )
            for channel, path in frame['files'].items():
                self._data_row(tables, scene, k, frames, channel, path, sizes)
            for box in frame['boxes']:
                chains[box['instance_token']].append(box)
        for token, chain in chains.items():
            for a, b in pairwise(chain):
                a['next'], b['prev'] = b['token'], a['token']
            tables['instance'].append(
                {
                    'token': token,
                    'category_token': self._id('category', chain[0]['category']),
                    'nbr_annotations': len(chain),
                    'first_annotation_token': chain[0]['token'],
                    'last_annotation_token': chain[-1]['token'],
                }
            )
        for frame in frames:
            for box in frame['boxes']:
                del box['category']
                tables['sample_annotation'].append(box)

    def _data_row(
        self,
        tables: dict[str, list[Record]],
        scene: int,
        k: int,
        frames: list[Record],
        channel: str,
        path: str,
        sizes: dict[str, list[int]],
    ) -> None:
        frame = frames[k]

        def token(position: int) -> str:
            if not 0 <= position < len(frames):
                return ''
            return self._id('data', scene, frames[position]['frame'], channel)

        pose = self._id('ego_pose', scene, frame['frame'], channel)
        calibration = self._id('calibration', scene, channel)
        tables['ego_pose'].append({'token': pose, 'timestamp': frame['stamp'], **frame['ego_pose']})
        width, height = sizes[calibration]
        tables['sample_data'].append(
            {
                'token': token(k),
                'sample_token': self._id('sample', scene, frame['frame']),
                'ego_pose_token': pose,
                'calibrated_sensor_token': calibration,
                'timestamp': frame['stamp'],
                'fileformat': 'jpg' if width else 'pcd',
                'is_key_frame': True,
                'height': height,
                'width': width,
                'filename': path,
                'prev': token(k - 1),
                'next': token(k + 1),
            }
        )
        if not width:
            for kind, ending in (('lidarseg', 'lidarseg.bin'), ('panoptic', 'panoptic.npz')):
                tables[kind].append(
                    {
                        'token': token(k),
                        'sample_data_token': token(k),
                        'filename': f'{kind}/{VERSION}/{token(k)}_{ending}',
                    }
                )


def _write_map(path: Path, scene: Scene) -> None:
    """Drivable ground as a mask; the top row is the largest y, as the devkit's MapMask has it."""
    plan = scene.plan
    road = layout.IS_ROAD[plan.raster].view(np.uint8)
    size = tuple(round(v / MAP_CELL) for v in plan.size)
    mask = cv2.resize(road, size, interpolation=cv2.INTER_NEAREST)[::-1] * np.uint8(255)
    write_image(path, mask, [cv2.IMWRITE_PNG_COMPRESSION, 3])
