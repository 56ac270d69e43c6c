"""What every layout writer offers to the generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..capture import Capture
from ..scene import Scene
from ..sensors import Rig

Record = dict[str, Any]


class Writer(Protocol):
    """Writes one official layout below ``root``.

    ``write_frame`` runs in workers and returns what ``finish`` needs; ``finish`` runs once, with
    the records sorted by scene and frame.
    """

    name: str
    interval: float  # seconds between key frames

    def make_rig(self, rng: np.random.Generator) -> Rig: ...

    def write_frame(
        self, root: Path, scene_index: int, frame: int, scene: Scene, rig: Rig, capture: Capture
    ) -> Record: ...

    def finish(self, root: Path, records: list[Record]) -> None: ...


def split_of(scene: int, scenes: int, test: bool = False) -> str:
    """'train', 'val' or 'test' of scene ``scene`` (from 0) out of ``scenes``.

    Every fifth scene is held out for validation, and where ``test`` is wanted every tenth for
    testing; of two to four scenes the last one is held out. A single scene is for training.
    """
    if test and scene % 10 == 9:
        return 'test'
    if scene % 5 == 4 or (scenes < 5 and scene == scenes - 1 and scenes > 1):
        return 'val'
    return 'train'
