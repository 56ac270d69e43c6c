"""KITTI object layout: velodyne, image_2, image_3, calib and label_2.

Format: the readme of KITTI's object development kit.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from nclr_mm.writing import write_whole

from ..capture import Box, Capture, View
from ..labels import CLASSES
from ..mesh import Array
from ..scene import Scene
from ..sensors import Rig, kitti_rig, rotation
from .base import Record, split_of
from .files import write_calib, write_image, write_text
from .kitti_common import kitti_calib, kitti_scan

LABEL_RANGE = 70.0  # metres of depth; what is farther becomes DontCare
# Small turn between the sensor's camera 0 and its rectified frame, as KITTI's R0_rect is (rad).
_RECTIFICATION = rotation(0.004, 0.010, -0.007)


class KittiWriter:
    """Writes ``root/training``, ``root/testing`` and ``root/ImageSets``.

    Frames get their final numbers in ``finish``; until then each scene has its own.
    """

    name = 'kitti'
    interval = 0.5

    def __init__(self, seed: int, scenes: int) -> None:
        self.seed = seed
        self.scenes = scenes

    def make_rig(self, rng: np.random.Generator) -> Rig:
        return kitti_rig(rng)

    def write_frame(
        self, root: Path, scene_index: int, frame: int, scene: Scene, rig: Rig, capture: Capture
    ) -> Record:
        split = split_of(scene_index, self.scenes, test=True)
        folder = root / ('testing' if split == 'test' else 'training')
        stem = f's{scene_index:06d}_{frame:06d}'
        write_whole(folder / f'velodyne/{stem}.bin', kitti_scan(capture.sweep))
        for name, picture in capture.pictures.items():
            options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
            write_image(folder / f'{name}/{stem}.png', picture.image, options)
        calib = kitti_calib(rig)
        unrectified = np.eye(4)
        unrectified[:3, :3] = _RECTIFICATION.T
        matrices = {
            **calib.projections,
            'R0_rect': _RECTIFICATION,
            'Tr_velo_to_cam': (unrectified @ calib.velo_to_cam)[:3],
            # An inertial unit over the rear axle, level with the vehicle.
            'Tr_imu_to_velo': (np.linalg.inv(rig.lidar.to_ego) @ _imu_to_ego())[:3],
        }
        write_calib(folder / f'calib/{stem}.txt', matrices, end=True)
        if split != 'test':
            to_camera = np.linalg.inv(capture.ego_pose @ calib.cam_to_ego)
            lines = [
                line
                for box in capture.boxes
                if (line := _label(box, to_camera, rig.cameras[0].name)) is not None
            ]
            write_text(folder / f'label_2/{stem}.txt', lines)
        return {'scene': scene_index, 'frame': frame, 'split': split, 'stem': stem}

    def finish(self, root: Path, records: list[Record]) -> None:
        """Numbers the frames from 000000 on and writes the lists of each split."""
        lists: dict[str, list[str]] = {'train': [], 'val': [], 'test': []}
        counts = {'training': 0, 'testing': 0}
        for record in records:
            part = 'testing' if record['split'] == 'test' else 'training'
            number = f'{counts[part]:06d}'
            counts[part] += 1
            for kind in ('velodyne', 'image_2', 'image_3', 'calib', 'label_2'):
                for path in (root / part / kind).glob(f'{record["stem"]}.*'):
                    path.rename(path.with_name(number + path.suffix))
            lists[record['split']].append(number)
        lists['trainval'] = sorted(lists['train'] + lists['val'])
        for name, frames in lists.items():
            write_text(root / f'ImageSets/{name}.txt', frames)
        for kind in ('velodyne', 'image_2', 'image_3', 'calib'):
            (root / 'testing' / kind).mkdir(parents=True, exist_ok=True)


def _imu_to_ego() -> Array:
    pose = np.eye(4)
    pose[:3, 3] = -0.05, 0.32, 0.93
    return pose


def _label(box: Box, to_camera: Array, camera: str) -> str | None:
    """A line of label_2, or None for what KITTI does not label or the camera does not see."""
    name = CLASSES[box.semantic].kitti_object
    view = box.views.get(camera)
    if name is None or view is None or view.visible <= 0:
        return None
    pose = to_camera @ box.pose
    if pose[2, 3] > LABEL_RANGE or view.occluded > 0.98:
        edges = ' '.join(f'{v:.2f}' for v in view.box)
        return f'DontCare -1 -1 -10 {edges} -1 -1 -1 -1000 -1000 -1000 -10'
    length, width, height = box.size
    bottom = pose[:3, 3] - pose[:3, 2] * height / 2
    yaw = float(np.arctan2(-pose[2, 0], pose[0, 0]))
    alpha = (yaw - float(np.arctan2(bottom[0], bottom[2])) + np.pi) % (2 * np.pi) - np.pi
    values = (
        *(alpha, *view.box, height, width, length),
        *bottom,
        yaw,
    )
    text = ' '.join(f'{v:.2f}' for v in values)
    return f'{name} {view.truncated:.2f} {_occlusion(view)} {text}'


def _occlusion(view: View) -> int:
    """KITTI's levels: 0 fully visible, 1 partly, 2 largely occluded."""
    return int(np.digitize(view.occluded, [0.1, 0.5]))
