"""Metrics, registered in mmdet3d's registry."""

from .calibration_metric import CalibrationMetric
from .counts import MatchCounts, OverlapCounts
from .lidarseg_metric import LidarSegMetric
from .panoptic_metric import PanopticMetric
from .pose_error import pose_errors

__all__ = [
    'CalibrationMetric',
    'LidarSegMetric',
    'MatchCounts',
    'OverlapCounts',
    'PanopticMetric',
    'pose_errors',
]
