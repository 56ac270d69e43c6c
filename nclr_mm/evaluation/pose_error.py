"""Errors of camera poses."""

import torch
from torch import Tensor

from nclr_mm.geometry import rotation_angle

__all__ = ['pose_errors']


def pose_errors(lidar2cam: Tensor, lidar2cam_true: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation and translation error of poses.

    The rotation error is the geodesic distance: the angle of ``R_pred^T R_true``. The translation
    error is ``|t_pred - t_true|``, which is the length of the translation of
    ``inv(T_pred) T_true``: how far the LiDAR's origin is misplaced as seen from the camera. It is
    the measure of the literature on image-to-point-cloud registration (DeepI2P, CorrI2P,
    CoFiI2P), so that figures compare; mind that those papers give the rotation error as the sum
    of the absolute Euler angles, which is never less than the geodesic distance.

    Args:
        lidar2cam: (..., 4, 4) predicted poses.
        lidar2cam_true: (..., 4, 4) true poses.

    Returns:
        Rotation errors (...,) in degrees, in [0, 180], and translation errors (...,) in metres.

    Raises:
        ValueError: if a shape does not fit.
    """
    rotation = rotation_angle(lidar2cam[..., :3, :3], lidar2cam_true[..., :3, :3])
    translation = torch.linalg.vector_norm(
        lidar2cam[..., :3, 3] - lidar2cam_true[..., :3, 3], dim=-1
    )
    return torch.rad2deg(rotation), translation
