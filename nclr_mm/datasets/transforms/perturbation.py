"""The unknown motion that calibration has to find."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS
from scipy.spatial.transform import Rotation


@TRANSFORMS.register_module()
class RigidPerturbation(BaseTransform):
    """Move the points by a random rigid motion T, and the truth with them.

    p' = T p, so ``lidar2cam' = lidar2cam inv(T)``. T is kept as ``perturbation`` (4, 4).
    Defaults as in the official code: yaw over the full circle, planar shift N(0, 4 m) clipped
    at 15 m a coordinate, nothing else.

    Args:
        yaw, pitch, roll: ranges in radians, drawn uniformly; R = Rz(yaw) Ry(pitch) Rx(roll).
        shift_std: standard deviation of the shift along x and along y, in metres.
        shift_clip: largest shift along x and along y, in metres.
        z: range of the shift along z in metres, drawn uniformly.
        seed_by_sample: the motion depends on ``seed`` and the sample (its token, or its index,
            and ``repeat_idx``) alone, so that each evaluation sees the same motions.
        seed: chooses another set of motions, with ``seed_by_sample``.
    """

    def __init__(
        self,
        yaw: tuple[float, float] = (0.0, 2 * np.pi),
        shift_std: float = 4.0,
        shift_clip: float = 15.0,
        roll: tuple[float, float] = (0.0, 0.0),
        pitch: tuple[float, float] = (0.0, 0.0),
        z: tuple[float, float] = (0.0, 0.0),
        seed_by_sample: bool = False,
        seed: int = 0,
    ) -> None:
        ranges = dict(yaw=yaw, pitch=pitch, roll=roll, z=z)
        for name, limits in ranges.items():
            if len(limits) != 2 or limits[0] > limits[1]:
                raise ValueError(f'{name} must be a range (low, high), got {limits}.')
        if shift_std < 0 or shift_clip < 0:
            raise ValueError('shift_std and shift_clip must not be negative.')
        self.ranges = ranges
        self.shift_std = shift_std
        self.shift_clip = shift_clip
        self.seed_by_sample = seed_by_sample
        self.seed = seed

    def transform(self, results: dict) -> dict:
        motion = self.draw(results)
        points = results['points'].tensor
        rotation = torch.from_numpy(motion[:3, :3]).to(points)
        shift = torch.from_numpy(motion[:3, 3]).to(points)
        points[:, :3] = points[:, :3] @ rotation.T + shift
        results['lidar2cam'] = results['lidar2cam'] @ np.linalg.inv(motion)
        results['perturbation'] = motion
        return results

    def draw(self, results: dict) -> np.ndarray:
        """Draw T (4, 4) for a sample."""
        source = random
        if self.seed_by_sample:
            key = results.get('token', results['sample_idx'])
            source = random.Random(f'{self.seed}/{key}/{results.get("repeat_idx", 0)}')
        angles = [source.uniform(*self.ranges[name]) for name in ('yaw', 'pitch', 'roll')]
        planar = [source.gauss(0.0, self.shift_std) for _ in range(2)]
        motion = np.eye(4)
        motion[:3, :3] = Rotation.from_euler('ZYX', angles).as_matrix()
        motion[:2, 3] = np.clip(planar, -self.shift_clip, self.shift_clip)
        motion[2, 3] = source.uniform(*self.ranges['z'])
        return motion
