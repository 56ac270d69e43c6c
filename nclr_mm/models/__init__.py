"""Models: detectors, their parts, and losses, registered in mmdet3d's registries."""

from . import task_modules
from .backbones import CalibrationMinkUNet, CalibrationSPVCNN, EfficientNetLite0
from .data_preprocessors import (
    CalibrationDataPreprocessor,
    HardVoxelCalibrationDataPreprocessor,
    SegmentationDataPreprocessor,
)
from .detectors import NCLR, NCLRVoxelNet
from .heads import CalibrationHead, LovaszMinkUNetHead, OffsetHead
from .layers import CosineAlignment, CrossModalFusion, SymmetricAlignment
from .losses import OverlapLoss, PointInfoNCE, PoseLoss
from .necks import UpsampleSum
from .segmentors import PanopticMinkUNet
from .weights import CompletePretrained

__all__ = [
    'NCLR',
    'CalibrationDataPreprocessor',
    'CalibrationHead',
    'CalibrationMinkUNet',
    'CalibrationSPVCNN',
    'CompletePretrained',
    'CosineAlignment',
    'CrossModalFusion',
    'EfficientNetLite0',
    'HardVoxelCalibrationDataPreprocessor',
    'LovaszMinkUNetHead',
    'NCLRVoxelNet',
    'OffsetHead',
    'OverlapLoss',
    'PanopticMinkUNet',
    'PointInfoNCE',
    'PoseLoss',
    'SegmentationDataPreprocessor',
    'SymmetricAlignment',
    'UpsampleSum',
    'task_modules',
]
