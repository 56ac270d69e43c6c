"""Metrics, registered in mmdet3d's registry."""

from .calibration_metric import CalibrationMetric
from .counts import MatchCounts, OverlapCounts
from .pose_error import pose_errors

__all__ = ['CalibrationMetric', 'MatchCounts', 'OverlapCounts', 'pose_errors']
