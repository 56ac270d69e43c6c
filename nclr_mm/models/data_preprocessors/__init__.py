"""Data preprocessors."""

from .calibration_data_preprocessor import CalibrationDataPreprocessor
from .segmentation_data_preprocessor import SegmentationDataPreprocessor
from .voxelize import voxelize

__all__ = ['CalibrationDataPreprocessor', 'SegmentationDataPreprocessor', 'voxelize']
