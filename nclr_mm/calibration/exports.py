"""Calibrations in the forms that other programs read: KITTI, nuScenes, ROS."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

__all__ = ['describe_pose', 'kitti_calib', 'nuscenes_calibrated_sensor', 'ros_static_transforms']


def describe_pose(pose: np.ndarray) -> dict[str, Any]:
    """A pose (4, 4) in the forms that people ask for.

    Returns:
        ``matrix`` (4x4, nested lists), ``quaternion_wxyz``, ``euler_deg`` (roll, pitch, yaw:
        R = Rz(yaw) Ry(pitch) Rx(roll)) and ``translation_m``.
    """
    rotation = Rotation.from_matrix(pose[:3, :3])
    yaw, pitch, roll = rotation.as_euler('ZYX', degrees=True).tolist()
    x, y, z, w = rotation.as_quat().tolist()
    return dict(
        matrix=pose.tolist(),
        quaternion_wxyz=[w, x, y, z],
        euler_deg=dict(roll=roll, pitch=pitch, yaw=yaw),
        translation_m=pose[:3, 3].tolist(),
    )


def kitti_calib(cam2img: np.ndarray, lidar2cam: np.ndarray) -> str:
    """The text of a KITTI calibration file for one camera.

    It has the fields of the object detection (``R0_rect``, ``Tr_velo_to_cam``) and of the odometry
    layout (``Tr``). The frame of camera 0 is that of this camera, and all of P0 to P3 are its
    projection: whichever of them a program reads, pixels are the same.

    Args:
        cam2img: (3, 3).
        lidar2cam: (4, 4).
    """
    projection = np.hstack([cam2img, np.zeros((3, 1))])
    lines = {f'P{i}': projection for i in range(4)}
    lines['R0_rect'] = np.eye(3)
    lines['Tr_velo_to_cam'] = lines['Tr'] = lidar2cam[:3]
    return ''.join(
        f'{name}: {" ".join(f"{value:.12e}" for value in np.ravel(matrix))}\n'
        for name, matrix in lines.items()
    )


def nuscenes_calibrated_sensor(
    cameras: Mapping[str, tuple[np.ndarray, np.ndarray]],
    lidar: str = 'LIDAR_TOP',
    lidar2ego: np.ndarray | None = None,
) -> list[dict]:
    """Records of nuScenes' table ``calibrated_sensor``: the LiDAR's, then each camera's.

    Args:
        cameras: name -> (``cam2img`` (3, 3), ``lidar2cam`` (4, 4)).
        lidar: name of the LiDAR.
        lidar2ego: (4, 4) pose of the LiDAR on the vehicle; without it the LiDAR's frame is taken
            for the vehicle's.

    Returns:
        Dicts with ``token``, ``sensor_token``, ``translation``, ``rotation`` (a quaternion w, x, y,
        z) and ``camera_intrinsic``. Tokens are digests of the names, the same each time.
    """
    ego = np.eye(4) if lidar2ego is None else np.asarray(lidar2ego, dtype=np.float64)
    poses = {lidar: (ego, None)}
    for name, (cam2img, lidar2cam) in cameras.items():
        poses[name] = (ego @ np.linalg.inv(lidar2cam), cam2img)
    records = []
    for name, (pose, cam2img) in poses.items():
        parts = describe_pose(pose)
        records.append(
            dict(
                token=_token(f'calibrated_sensor/{name}'),
                sensor_token=_token(f'sensor/{name}'),
                translation=parts['translation_m'],
                rotation=parts['quaternion_wxyz'],
                camera_intrinsic=[] if cam2img is None else np.asarray(cam2img).tolist(),
            )
        )
    return records


def ros_static_transforms(
    cameras: Mapping[str, np.ndarray], lidar_frame: str = 'lidar'
) -> list[dict]:
    """Static transforms of ROS, as ``geometry_msgs/TransformStamped``, for a YAML file.

    Args:
        cameras: name -> ``lidar2cam`` (4, 4).
        lidar_frame: name of the parent frame.

    Returns:
        For each camera its pose in the LiDAR's frame. The child is the optical frame (x right,
        y down, z forward), ``<name>_optical_frame``.
    """
    transforms = []
    for name, lidar2cam in cameras.items():
        parts = describe_pose(np.linalg.inv(lidar2cam))
        w, x, y, z = parts['quaternion_wxyz']
        transforms.append(
            dict(
                header=dict(frame_id=lidar_frame),
                child_frame_id=f'{name}_optical_frame',
                transform=dict(
                    translation=dict(zip('xyz', parts['translation_m'])),
                    rotation=dict(x=x, y=y, z=z, w=w),
                ),
            )
        )
    return transforms


def _token(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]
