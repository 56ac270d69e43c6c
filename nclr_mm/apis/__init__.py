"""For programs: build a trained model, calibrate cameras."""

from .calibration import CameraCalibration, calibrate
from .model import init_model

__all__ = ['CameraCalibration', 'calibrate', 'init_model']
