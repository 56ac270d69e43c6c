"""Models: detectors, their parts, and losses, registered in mmdet3d's registries."""

from . import task_modules
from .backbones import CalibrationMinkUNet, EfficientNetLite0
from .data_preprocessors import CalibrationDataPreprocessor
from .detectors import NCLR
from .heads import CalibrationHead
from .layers import CosineAlignment, CrossModalFusion, SymmetricAlignment
from .losses import OverlapLoss, PointInfoNCE, PoseLoss
from .necks import UpsampleSum
from .weights import CompletePretrained

__all__ = [
    'NCLR',
    'CalibrationDataPreprocessor',
    'CalibrationHead',
    'CalibrationMinkUNet',
    'CompletePretrained',
    'CosineAlignment',
    'CrossModalFusion',
    'EfficientNetLite0',
    'OverlapLoss',
    'PointInfoNCE',
    'PoseLoss',
    'SymmetricAlignment',
    'UpsampleSum',
    'task_modules',
]
