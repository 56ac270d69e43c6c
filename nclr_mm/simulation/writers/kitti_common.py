"""What KITTI's object and odometry layouts share: calibration and scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..mesh import Array
from ..render import Sweep
from ..sensors import Rig, rigid

# Offset of camera 2 in camera 0, x_2 = x_0 + t (m); about what KITTI's P2 holds in its 4th column.
T2 = np.array([0.0598, 0.0003, 0.0027])


# Remission is reflectivity to this power: it brings the quartiles near those of KITTI's scans.
_REMISSION_POWER = 0.7


@dataclass
class KittiCalib:
    """``projections`` P0 to P3 (3,4) from rectified camera 0 to pixels; ``velo_to_cam`` and
    ``cam_to_ego`` 4x4 for rectified camera 0."""

    projections: dict[str, Array]
    velo_to_cam: Array
    cam_to_ego: Array


def kitti_calib(rig: Rig) -> KittiCalib:
    """Calibration of a KITTI rig whose cameras are image_2 and image_3 with common axes."""
    left, right = rig.cameras
    k = left.intrinsics
    cam_to_ego = left.to_ego @ rigid(np.eye(3), T2)
    # Where image_3 stands in camera 2; its own shift is the opposite.
    base = (np.linalg.inv(left.to_ego) @ right.to_ego)[:3, 3]
    shifts = {
        'P0': np.zeros(3),
        'P1': np.array([-0.5372, 0.0, 0.0]),  # KITTI's baseline of the grey pair
        'P2': T2,
        'P3': T2 - base,
    }
    return KittiCalib(
        {name: k @ np.concatenate([np.eye(3), t[:, None]], 1) for name, t in shifts.items()},
        np.linalg.inv(cam_to_ego) @ rig.lidar.to_ego,
        cam_to_ego,
    )


def kitti_scan(sweep: Sweep) -> bytes:
    """A velodyne file: x, y, z and remission 0..1 as little-endian float32."""
    remission = sweep.reflectivity**_REMISSION_POWER
    return np.concatenate([sweep.points, remission[:, None]], 1).astype('<f4').tobytes()
