"""Backbones."""

from .efficientnet_lite import EfficientNetLite0
from .minkunet import CalibrationMinkUNet
from .sparse_encoder import CalibrationSparseEncoder
from .spvcnn import CalibrationSPVCNN

__all__ = [
    'CalibrationMinkUNet',
    'CalibrationSPVCNN',
    'CalibrationSparseEncoder',
    'EfficientNetLite0',
]
