"""Backbones."""

from .efficientnet_lite import EfficientNetLite0
from .minkunet import CalibrationMinkUNet
from .spvcnn import CalibrationSPVCNN

__all__ = ['CalibrationMinkUNet', 'CalibrationSPVCNN', 'EfficientNetLite0']
