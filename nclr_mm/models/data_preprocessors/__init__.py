"""Data preprocessors."""

from .calibration_data_preprocessor import CalibrationDataPreprocessor
from .detection_data_preprocessor import CheckedDet3DDataPreprocessor
from .hard_voxel_data_preprocessor import HardVoxelCalibrationDataPreprocessor
from .segmentation_data_preprocessor import SegmentationDataPreprocessor
from .voxelize import voxelize

__all__ = [
    'CalibrationDataPreprocessor',
    'CheckedDet3DDataPreprocessor',
    'HardVoxelCalibrationDataPreprocessor',
    'SegmentationDataPreprocessor',
    'voxelize',
]
