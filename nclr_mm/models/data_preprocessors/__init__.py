"""Data preprocessors."""

from .calibration_data_preprocessor import CalibrationDataPreprocessor
from .voxelize import voxelize

__all__ = ['CalibrationDataPreprocessor', 'voxelize']
