"""SemanticPOSS layout: SemanticKITTI's without cameras, and with tags; each scene is a sequence."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nclr_mm.writing import write_whole

from ..capture import Capture
from ..labels import IS_THING, TO_SEMANTICPOSS
from ..scene import Scene
from ..sensors import PANDORA_AZIMUTHS, Rig, pandora_rig
from .base import Record, split_of
from .files import write_json
from .kitti_common import kitti_scan


class SemanticPossWriter:
    """Writes ``root/sequences/XX/{velodyne,labels,tag}``.

    Points are in the order of the range image, beam by beam from the top; a tag has one byte for
    each of its 40 x 1800 pixels, 1 where there is a point.
    """

    name = 'semanticposs'
    interval = 0.1

    def __init__(self, seed: int, scenes: int) -> None:
        self.seed = seed
        self.scenes = scenes

    def make_rig(self, rng: np.random.Generator) -> Rig:
        return pandora_rig(rng)

    def write_frame(
        self, root: Path, scene_index: int, frame: int, scene: Scene, rig: Rig, capture: Capture
    ) -> Record:
        folder = root / 'sequences' / f'{scene_index:02d}'
        sweep = capture.sweep
        beams = len(rig.lidar.elevations)
        # Rays are numbered turn by turn from the lowest beam up.
        pixel = (beams - 1 - sweep.ring) * PANDORA_AZIMUTHS + sweep.ray // beams
        order = np.argsort(pixel)
        tag = np.zeros(beams * PANDORA_AZIMUTHS, np.uint8)
        tag[pixel] = 1
        instance = np.where(IS_THING[sweep.semantic], sweep.instance, 0).astype('<u4')
        labels = TO_SEMANTICPOSS[sweep.semantic].astype('<u4') | instance << 16
        scan = np.frombuffer(kitti_scan(sweep), '<f4').reshape(-1, 4)
        write_whole(folder / f'velodyne/{frame:06d}.bin', scan[order].tobytes())
        write_whole(folder / f'labels/{frame:06d}.label', labels[order].tobytes())
        write_whole(folder / f'tag/{frame:06d}.tag', tag.tobytes())
        return {'scene': scene_index, 'frame': frame}

    def finish(self, root: Path, records: list[Record]) -> None:
        """Writes which sequences are for training and which for validation."""
        splits: dict[str, list[str]] = {'train': [], 'val': []}
        for scene in sorted({record['scene'] for record in records}):
            splits[split_of(scene, self.scenes)].append(f'{scene:02d}')
        write_json(root / 'splits.json', splits)
