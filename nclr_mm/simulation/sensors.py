"""Sensor rigs: where cameras and LiDAR sit and what they see.

Frames: ego x forward, y left, z up, origin on the ground below the rear axle; cameras x right,
y down, z forward; the LiDAR as its data set has it. Every pose is 4x4 sensor-to-ego.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .mesh import Array


@dataclass
class Camera:
    """A pinhole camera. ``intrinsics`` 3x3 in pixels; pixel centres are integers.

    One that is not ``active`` is calibrated but takes no pictures.
    """

    name: str
    to_ego: Array
    intrinsics: Array
    width: int
    height: int
    active: bool = True

    @cached_property
    def rays(self) -> Array:
        """Unit directions (height*width,3) float32 in the camera frame, row by row."""
        v, u = np.mgrid[: self.height, : self.width]
        k = self.intrinsics
        x = (u - k[0, 2]) / k[0, 0]
        y = (v - k[1, 2]) / k[1, 1]
        direction = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
        return (direction / np.linalg.norm(direction, axis=1, keepdims=True)).astype(np.float32)

    def project(self, points: Array) -> tuple[Array, Array]:
        """Pixels (n,2) and depth (n,) of points (n,3) in the camera frame."""
        image = points @ self.intrinsics.T
        depth = points[:, 2]
        return image[:, :2] / np.where(np.abs(depth) < 1e-9, 1e-9, depth)[:, None], depth


@dataclass
class Lidar:
    """A spinning LiDAR. ``elevations`` (beams,) rad from the lowest beam up."""

    name: str
    to_ego: Array
    elevations: Array
    azimuths: int
    max_range: float
    min_range: float = 1.0
    range_noise: float = 0.02

    @cached_property
    def rays(self) -> Array:
        """Unit directions (azimuths*beams,3) float32 in the sensor's frame, turn by turn."""
        azimuth = -2 * np.pi * (np.arange(self.azimuths) / self.azimuths)
        a, e = np.meshgrid(azimuth, self.elevations, indexing='ij')
        rays = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], -1)
        return rays.reshape(-1, 3).astype(np.float32)

    @cached_property
    def rings(self) -> Array:
        """Beam number (azimuths*beams,) of each ray."""
        return np.tile(np.arange(len(self.elevations)), self.azimuths)


@dataclass
class Rig:
    """All sensors of one vehicle."""

    cameras: list[Camera]
    lidar: Lidar


def rotation(roll: float, pitch: float, yaw: float) -> Array:
    """3x3 rotation Rz(yaw) Ry(pitch) Rx(roll), radians."""
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (np.cos, np.sin))
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return rz @ ry @ rx


def rigid(turn: Array, shift: Array) -> Array:
    pose = np.eye(4)
    pose[:3, :3] = turn
    pose[:3, 3] = shift
    return pose


# Camera axes (x right, y down, z forward) written in a frame with x forward, y left, z up.
_CAMERA_AXES = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

# Mounting of nuScenes' cameras: x, y, z in metres, yaw in degrees, focal length over image width.
# Rounded from nuScenes' calibrated_sensor table.
_NUSCENES_CAMERAS = {
    'CAM_FRONT': (1.70, 0.02, 1.51, 0.0, 0.79),
    'CAM_FRONT_RIGHT': (1.55, -0.49, 1.50, -56.0, 0.79),
    'CAM_BACK_RIGHT': (1.02, -0.48, 1.56, -110.0, 0.79),
    'CAM_BACK': (0.03, 0.00, 1.57, 180.0, 0.505),
    'CAM_BACK_LEFT': (1.04, 0.48, 1.59, 108.0, 0.79),
    'CAM_FRONT_LEFT': (1.52, 0.49, 1.51, 55.0, 0.79),
}
NUSCENES_SIZE = (640, 360)  # 0.4 of nuScenes' 1600 x 900: rays are what a frame costs
KITTI_SIZE = (1242, 375)


def nuscenes_rig(rng: np.random.Generator) -> Rig:
    """Six cameras and a 32-beam LiDAR; poses and focal lengths vary a little from rig to rig.

    Beams are those of the Velodyne HDL-32E: -30.67 to +10.67 degrees, 1.33 apart; 1084 azimuths
    make nuScenes' 34,688 rays. The LiDAR's frame is nuScenes': x right, y forward, z up.
    """
    width, height = NUSCENES_SIZE
    cameras = []
    for name, (x, y, z, yaw, focal) in _NUSCENES_CAMERAS.items():
        angles = rng.normal(0, np.radians([0.6, 0.8, 1.5]))
        turn = rotation(angles[0], angles[1], np.radians(yaw) + angles[2]) @ _CAMERA_AXES
        shift = np.array([x, y, z]) + rng.normal(0, [0.05, 0.03, 0.05])
        f = focal * width * rng.normal(1, 0.02)
        k = np.array(
            [
                [f, 0, (width - 1) / 2 + rng.normal(0, 5)],
                [0, f, (height - 1) / 2 + rng.normal(8, 6)],
                [0, 0, 1],
            ]
        )
        cameras.append(Camera(name, rigid(turn, shift), k, width, height))
    angles = rng.normal(0, np.radians([0.5, 0.5, 0.8]))
    lidar = Lidar(
        'LIDAR_TOP',
        rigid(
            rotation(angles[0], angles[1], -np.pi / 2 + angles[2]),
            np.array([0.94, 0.0, 1.84]) + rng.normal(0, [0.05, 0.02, 0.04]),
        ),
        np.radians(np.linspace(-30.67, 10.67, 32)),
        azimuths=1084,
        max_range=80.0,
    )
    return Rig(cameras, lidar)


def kitti_rig(rng: np.random.Generator) -> Rig:
    """Two rectified cameras (image_2, image_3) and a 64-beam LiDAR (Velodyne HDL-64E).

    The upper 32 beams run from +2 to -8.33 degrees, the lower 32 from -8.83 to -24.33 in half
    degrees (HDL-64E manual). The cameras share their axes, as rectified ones do.
    """
    width, height = KITTI_SIZE
    lidar_turn = rotation(*rng.normal(0, np.radians([0.4, 0.4, 0.3])))
    lidar_to_ego = rigid(lidar_turn, np.array([0.77, 0.0, 1.73]) + rng.normal(0, 0.02, 3))
    f = 721.54 * rng.normal(1, 0.015)
    k = np.array([[f, 0, 609.56 + rng.normal(0, 4)], [0, f, 172.85 + rng.normal(0, 4)], [0, 0, 1]])
    turn = rotation(*rng.normal(0, np.radians([0.5, 0.5, 0.7]))) @ _CAMERA_AXES
    base = np.array([1.04, 0.06, 1.65]) + rng.normal(0, 0.03, 3)
    cameras = []
    for name, x in (('image_2', 0.0), ('image_3', 0.5327)):
        offset = np.array([x, rng.normal(0, 0.001), rng.normal(0, 0.001)])
        cameras.append(Camera(name, rigid(turn, base + turn @ offset), k, width, height))
    upper = np.linspace(2.0, -8.33, 32)
    lower = np.linspace(-8.83, -24.33, 32)
    lidar = Lidar(
        'velodyne',
        lidar_to_ego,
        np.radians(np.concatenate([upper, lower])[::-1]),
        azimuths=1900,
        max_range=110.0,
        min_range=1.5,
    )
    return Rig(cameras, lidar)


PANDORA_AZIMUTHS = 1800  # columns of SemanticPOSS's range image


def pandora_rig(rng: np.random.Generator) -> Rig:
    """The 40-beam LiDAR of a Hesai Pandora, as SemanticPOSS has it; no camera.

    Beams (Pandora's manual): 1 degree apart from +7 to +2 and from -6 to -16, a third of a degree
    in between. x forward, y left, z up.
    """
    turn = rotation(*rng.normal(0, np.radians([0.4, 0.4, 0.3])))
    upper, lower = np.arange(7.0, 2.0, -1.0), np.arange(-7.0, -16.5, -1.0)
    elevations = np.concatenate([upper, np.linspace(2, -6, 25), lower])
    lidar = Lidar(
        'velodyne',
        rigid(turn, np.array([0.8, 0.0, 1.75]) + rng.normal(0, 0.02, 3)),
        np.radians(elevations[::-1]),
        azimuths=PANDORA_AZIMUTHS,
        max_range=100.0,
    )
    return Rig([], lidar)
