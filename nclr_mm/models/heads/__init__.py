"""Heads."""

from .calibration_head import CalibrationHead
from .offset_head import OffsetHead
from .segmentation_head import LovaszMinkUNetHead

__all__ = ['CalibrationHead', 'LovaszMinkUNetHead', 'OffsetHead']
