"""One small data set of each layout, made once, and what the ray caster itself saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from nclr_mm.simulation.capture import Capture, Observer
from nclr_mm.simulation.generate import WRITERS, generate
from nclr_mm.simulation.scene import Scene, make_scene
from nclr_mm.simulation.sensors import Rig

SEED = 3


@dataclass
class Made:
    root: Path
    scene: Scene
    rig: Rig
    captures: list[Capture]


def make(tmp: Path, layout: str, frames: int = 2) -> Made:
    root = generate(tmp, frames, SEED, layout, scenes=1, progress=False)
    writer = WRITERS[layout](SEED, 1)
    scene = make_scene(SEED, 0, frames, writer.interval)
    rig = writer.make_rig(np.random.default_rng([SEED, 0, 100]))
    observer = Observer(scene, rig)
    captures = [
        observer.capture(k, np.random.default_rng([SEED, 0, 101, k])) for k in range(frames)
    ]
    return Made(root, scene, rig, captures)


@pytest.fixture(scope='session')
def nuscenes_drive(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp('nuscenes'), 'nuscenes')


@pytest.fixture(scope='session')
def kitti_drive(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp('kitti'), 'kitti')


@pytest.fixture(scope='session')
def semantickitti_drive(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp('semantickitti'), 'semantickitti')


@pytest.fixture(scope='session')
def point_to_surface() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Distance of points to the plane through their eight nearest surface points.

    Points whose neighbours do not form a flat patch within 1 m are left out.
    """

    def measure(points: np.ndarray, surface: np.ndarray) -> np.ndarray:
        distance, index = cKDTree(surface).query(points, k=8)
        near = distance[:, -1] < 1.0
        patch = surface[index[near]]
        centre = patch.mean(1)
        _, size, axes = np.linalg.svd(patch - centre[:, None], full_matrices=False)
        flat = (size[:, 2] < 0.1) & (size[:, 1] > 0.15)
        offset = points[near] - centre
        return np.abs(np.einsum('ij,ij->i', offset, axes[:, 2]))[flat]

    return measure
