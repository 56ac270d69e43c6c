"""For programs: build a trained model, calibrate cameras and rigs, check stored calibrations."""

from .calibration import CameraCalibration, calibrate, given_points
from .checking import Drive, check_calibration, look_at_drive
from .model import init_model
from .rig import (
    RigCalibration,
    RigCamera,
    RigFrame,
    calibrate_rig,
    ego_motion,
)
from .rig_frames import (
    frames_of,
    frames_of_files,
    frames_of_folder,
    read_camera,
    split_of,
    stored_rig,
)

__all__ = [
    'CameraCalibration',
    'Drive',
    'RigCalibration',
    'RigCamera',
    'RigFrame',
    'calibrate',
    'calibrate_rig',
    'check_calibration',
    'ego_motion',
    'frames_of',
    'frames_of_files',
    'frames_of_folder',
    'given_points',
    'init_model',
    'look_at_drive',
    'read_camera',
    'split_of',
    'stored_rig',
]
