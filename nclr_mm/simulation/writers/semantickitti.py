"""SemanticKITTI layout: odometry sequences with labels; each scene is a sequence.

Formats: KITTI odometry devkit's readme and github.com/PRBonn/semantic-kitti-api.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from nclr_mm.writing import write_whole

from ..capture import Capture
from ..labels import IS_THING, TO_SEMANTICKITTI, TO_SEMANTICKITTI_MOVING
from ..scene import Scene
from ..sensors import Rig, kitti_rig
from .base import Record, split_of
from .files import numbers, write_calib, write_image, write_json, write_text
from .kitti_common import kitti_calib, kitti_scan


class SemanticKittiWriter:
    """Writes ``root/sequences/XX``."""

    name = 'semantickitti'
    interval = 0.1

    def __init__(self, seed: int, scenes: int) -> None:
        self.seed = seed
        self.scenes = scenes

    def make_rig(self, rng: np.random.Generator) -> Rig:
        rig = kitti_rig(rng)
        rig.cameras[1].active = False  # the layout holds image_2 only
        return rig

    def write_frame(
        self, root: Path, scene_index: int, frame: int, scene: Scene, rig: Rig, capture: Capture
    ) -> Record:
        folder = root / 'sequences' / f'{scene_index:02d}'
        calib = kitti_calib(rig)
        sweep = capture.sweep
        write_whole(folder / f'velodyne/{frame:06d}.bin', kitti_scan(sweep))
        moving = np.zeros(max((t.instance for t in scene.things), default=0) + 1, bool)
        moving[[t.instance for t in scene.things if t.moving]] = True
        labels = np.where(
            moving[sweep.instance],
            TO_SEMANTICKITTI_MOVING[sweep.semantic],
            TO_SEMANTICKITTI[sweep.semantic],
        ).astype('<u4')
        instance = np.where(IS_THING[sweep.semantic], sweep.instance, 0).astype('<u4')
        write_whole(folder / f'labels/{frame:06d}.label', (labels | instance << 16).tobytes())
        write_image(
            folder / f'image_2/{frame:06d}.png',
            capture.pictures['image_2'].image,
            [cv2.IMWRITE_PNG_COMPRESSION, 1],
        )
        if frame == 0:
            matrices = {**calib.projections, 'Tr': calib.velo_to_cam[:3]}
            write_calib(folder / 'calib.txt', matrices)
        return {
            'scene': scene_index,
            'frame': frame,
            'time': float(scene.times[frame]),
            'camera_pose': capture.ego_pose @ calib.cam_to_ego,
        }

    def finish(self, root: Path, records: list[Record]) -> None:
        """Writes ``times.txt`` and ``poses.txt`` (camera 0, from the first frame's)."""
        sequences: dict[int, list[Record]] = defaultdict(list)
        for record in records:
            sequences[record['scene']].append(record)
        splits: dict[str, list[str]] = {'train': [], 'val': []}
        for scene, frames in sorted(sequences.items()):
            folder = root / 'sequences' / f'{scene:02d}'
            origin = np.linalg.inv(frames[0]['camera_pose'])
            poses = [numbers((origin @ f['camera_pose'])[:3]) for f in frames]
            write_text(folder / 'poses.txt', poses)
            write_text(folder / 'times.txt', [f'{f["time"]:.6e}' for f in frames])
            splits[split_of(scene, self.scenes)].append(f'{scene:02d}')
        write_json(root / 'splits.json', splits)
