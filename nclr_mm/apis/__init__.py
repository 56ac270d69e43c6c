"""For programs: build a trained model, calibrate cameras, check stored calibrations."""

from .calibration import CameraCalibration, calibrate
from .checking import Drive, check_calibration, look_at_drive
from .model import init_model

__all__ = [
    'CameraCalibration',
    'Drive',
    'calibrate',
    'check_calibration',
    'init_model',
    'look_at_drive',
]
