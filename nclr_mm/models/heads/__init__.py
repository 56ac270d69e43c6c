"""Heads."""

from .calibration_head import CalibrationHead

__all__ = ['CalibrationHead']
