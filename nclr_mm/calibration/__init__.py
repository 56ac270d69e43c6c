"""What a calibration is made of once the network has matched: one pose, its uncertainty, a verdict.

Also the files that calibrations come from and go to.
"""

from .alignment import Alignment, EdgeFrame, align_edges, depth_edges, evenly
from .bundle import AdjustedRig, RigPriors, adjust_rig
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
    Findings,
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
from .files import Intrinsics, read_drive, read_extrinsics, read_intrinsics, read_rig
from .rig import (
    CameraMotion,
    KeptMatches,
    RigEstimate,
    Views,
    check_moved_camera_settings,
    estimate_rig,
    find_moved_cameras,
    rig_history,
)
from .rig_check import RigDeviation, check_rig

__all__ = [
    'ALIGNED_TOLERANCES',
    'DEFAULT_THRESHOLDS',
    'AdjustedRig',
    'Alignment',
    'CameraCheck',
    'CameraMotion',
    'CheckedFrame',
    'Deviation',
    'EdgeFrame',
    'Estimate',
    'Findings',
    'Intrinsics',
    'KeptMatches',
    'Matches',
    'RigDeviation',
    'RigEstimate',
    'RigPriors',
    'Thresholds',
    'Tolerances',
    'Views',
    'adjust_rig',
    'align_edges',
    'check_camera',
    'check_moved_camera_settings',
    'check_rig',
    'depth_edges',
    'describe_pose',
    'disturbance',
    'estimate_pose',
    'estimate_rig',
    'evenly',
    'find_moved_cameras',
    'kitti_calib',
    'nuscenes_calibrated_sensor',
    'pose_distance',
    'read_drive',
    'read_extrinsics',
    'read_intrinsics',
    'read_rig',
    'rig_history',
    'ros_static_transforms',
]
