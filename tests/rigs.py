"""Rigs whose truth is known: cameras around a vehicle, and matches that they might find."""

import numpy as np
from scipy.spatial.transform import Rotation

from nclr_mm.models.task_modules import RigMatches, exp_motion

SIZE = (224, 416)
# x right, y down, z forward, of a camera that looks along the vehicle's x axis (z up)
FORWARD = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])


def make_rig(cameras: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """cam2img (V, 3, 3) and rig2cam (V, 4, 4): cameras that look around, 0.8 m from the middle."""
    cam2img = np.tile([[330.0, 0, 207.0], [0, 330, 111], [0, 0, 1]], (cameras, 1, 1))
    rig2cam = np.tile(np.eye(4), (cameras, 1, 1))
    for i in range(cameras):
        yaw = Rotation.from_euler('z', 2 * np.pi * i / cameras).as_matrix()
        rotation = FORWARD @ yaw.T
        rig2cam[i, :3, :3] = rotation
        rig2cam[i, :3, 3] = -rotation @ (yaw @ [0.8, 0, 0.1 * i])
    return cam2img, rig2cam


def make_matches(
    cam2img: np.ndarray,
    lidar2cam: np.ndarray,
    rng: np.random.Generator,
    number: int = 60,
    outliers: float = 0.3,
    noise: float = 1.0,
    offsets: float | np.ndarray = 0.0,
) -> RigMatches:
    """Matches of views (W, 3, 3), (W, 4, 4): ``number`` each, a share of them at random.

    Args:
        noise: standard deviation of each match in pixels.
        offsets: standard deviation of an error that the matches in one of the 4x6 parts of an
            image share, drawn anew for each view; or (V, 4, 6, 2) these errors, of cameras that
            follow each other in the views.
    """
    height, width = SIZE
    views = []
    for index, (intrinsics, pose) in enumerate(zip(cam2img, lidar2cam)):
        true = rng.uniform(-0.5, [width - 0.5, height - 0.5], (number, 2))
        depth = rng.uniform(4, 40, number)
        cam = np.linalg.solve(intrinsics, np.c_[true, np.ones(number)].T).T * depth[:, None]
        points = (cam - pose[:3, 3]) @ pose[:3, :3]
        if isinstance(offsets, np.ndarray):
            shared = offsets[index % len(offsets)]
        else:
            shared = rng.normal(0, offsets, (4, 6, 2))
        row, column = (true[:, 1] / height * 4).astype(int), (true[:, 0] / width * 6).astype(int)
        pixels = true + rng.normal(0, noise, (number, 2)) + shared[row, column]
        wrong = rng.random(number) < outliers
        pixels[wrong] = rng.uniform([0, 0], [width - 1, height - 1], (wrong.sum(), 2))
        views.append((points, pixels))
    return RigMatches.join(views)


def random_pose(rng: np.random.Generator, shift: float = 5.0) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    pose[:3, 3] = rng.normal(0, shift, 3)
    return pose


def turned(pose: np.ndarray, degrees: float, metres: float, rng: np.random.Generator) -> np.ndarray:
    """A pose (4, 4) after a motion of given size about and along random axes of its own frame."""
    axis, direction = (x / np.linalg.norm(x) for x in rng.normal(size=(2, 3)))
    return exp_motion(np.concatenate([np.deg2rad(degrees) * axis, metres * direction])) @ pose
