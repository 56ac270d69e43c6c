from . import transforms
from .calibration_dataset import CalibrationDataset
from .kitti import KittiCalibrationDataset
from .nuscenes import NuScenesCalibrationDataset
from .semantickitti import SemanticKittiCalibrationDataset

__all__ = [
    'CalibrationDataset',
    'KittiCalibrationDataset',
    'NuScenesCalibrationDataset',
    'SemanticKittiCalibrationDataset',
    'transforms',
]
