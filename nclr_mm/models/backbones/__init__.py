"""Backbones."""

from .efficientnet_lite import EfficientNetLite0
from .minkunet import CalibrationMinkUNet

__all__ = ['CalibrationMinkUNet', 'EfficientNetLite0']
