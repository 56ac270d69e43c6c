"""What a calibration is made of once the network has matched: one pose, its spread, a verdict.

Also the files that calibrations come from and go to.
"""

from .alignment import Alignment, EdgeFrame, align_edges, depth_edges, evenly
from .check import (
    ALIGNED_TOLERANCES,
    CameraCheck,
    CheckedFrame,
    Deviation,
    Tolerances,
    check_camera,
    disturbance,
)
from .estimate import (
    DEFAULT_THRESHOLDS,
    Estimate,
    Matches,
    Thresholds,
    estimate_pose,
    pose_distance,
)
from .exports import (
    describe_pose,
    kitti_calib,
    nuscenes_calibrated_sensor,
    ros_static_transforms,
)
from .files import Intrinsics, read_extrinsics, read_intrinsics

__all__ = [
    'ALIGNED_TOLERANCES',
    'DEFAULT_THRESHOLDS',
    'Alignment',
    'CameraCheck',
    'CheckedFrame',
    'Deviation',
    'EdgeFrame',
    'Estimate',
    'Intrinsics',
    'Matches',
    'Thresholds',
    'Tolerances',
    'align_edges',
    'check_camera',
    'depth_edges',
    'describe_pose',
    'disturbance',
    'estimate_pose',
    'evenly',
    'kitti_calib',
    'nuscenes_calibrated_sensor',
    'pose_distance',
    'read_extrinsics',
    'read_intrinsics',
    'ros_static_transforms',
]
