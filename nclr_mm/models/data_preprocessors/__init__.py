"""Data preprocessors."""

from .calibration_data_preprocessor import CalibrationDataPreprocessor
from .hard_voxel_data_preprocessor import HardVoxelCalibrationDataPreprocessor
from .segmentation_data_preprocessor import SegmentationDataPreprocessor
from .voxelize import voxelize

__all__ = [
    'CalibrationDataPreprocessor',
    'HardVoxelCalibrationDataPreprocessor',
    'SegmentationDataPreprocessor',
    'voxelize',
]
