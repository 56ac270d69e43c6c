from . import transforms
from .calibration_dataset import CalibrationDataset
from .kitti import KittiCalibrationDataset
from .kitti_detection import KittiDetectionDataset
from .nuscenes import NuScenesCalibrationDataset
from .nuscenes_detection import NuScenesDetectionDataset
from .samplers import SeededDefaultSampler, SeededInfiniteSampler
from .segmentation import (
    NuScenesSegmentationDataset,
    SemanticKittiSegmentationDataset,
    SemanticPossDataset,
)
from .semantickitti import SemanticKittiCalibrationDataset

__all__ = [
    'CalibrationDataset',
    'KittiCalibrationDataset',
    'KittiDetectionDataset',
    'NuScenesCalibrationDataset',
    'NuScenesDetectionDataset',
    'NuScenesSegmentationDataset',
    'SeededDefaultSampler',
    'SeededInfiniteSampler',
    'SemanticKittiCalibrationDataset',
    'SemanticKittiSegmentationDataset',
    'SemanticPossDataset',
    'transforms',
]
