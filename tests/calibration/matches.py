"""Matches made from a known pose."""

import numpy as np
from scipy.spatial.transform import Rotation

CAM2IMG = np.array([[300.0, 0, 255.5], [0, 300, 79.5], [0, 0, 1]])
SIZE = (160, 512)
TRUE = np.eye(4)
TRUE[:3, :3] = Rotation.from_euler('ZYX', [3, -2, 1], degrees=True).as_matrix() @ np.array(
    [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
)
TRUE[:3, 3] = [0.1, -0.2, -0.3]


def look(rng, number=120, noise=1.0, wrong=0.3, pose=TRUE):
    """Matches of points in view, with noisy pixels, a share of them wrong altogether."""
    depth = rng.uniform(4, 40, number)
    uv = rng.uniform([0, 0], [SIZE[1] - 1, SIZE[0] - 1], (number, 2))
    rays = np.linalg.solve(CAM2IMG, np.column_stack([uv, np.ones(number)]).T).T
    points = (rays * depth[:, None] - pose[:3, 3]) @ pose[:3, :3]
    pixels = uv + rng.normal(0, noise, uv.shape)
    bad = rng.random(number) < wrong
    pixels[bad] = rng.uniform([0, 0], [SIZE[1] - 1, SIZE[0] - 1], (bad.sum(), 2))
    return points, pixels


def near(rng, pose=TRUE):
    """The pose with a small error, as a look gives on its own."""
    other = pose.copy()
    other[:3, :3] = Rotation.from_rotvec(rng.normal(0, 0.005, 3)).as_matrix() @ pose[:3, :3]
    return other
