"""Metrics, registered in mmdet3d's registry."""

from .calibration_metric import CalibrationMetric
from .counts import MatchCounts, OverlapCounts
from .kitti_metric import KittiDetectionMetric
from .lidarseg_metric import LidarSegMetric
from .nuscenes_metric import NuScenesDetectionMetric
from .panoptic_metric import PanopticMetric
from .pose_error import pose_errors

__all__ = [
    'CalibrationMetric',
    'KittiDetectionMetric',
    'LidarSegMetric',
    'MatchCounts',
    'NuScenesDetectionMetric',
    'OverlapCounts',
    'PanopticMetric',
    'pose_errors',
]
