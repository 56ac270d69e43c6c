"""Comparison of poses in tests."""

import numpy as np

from nclr_mm.calibration import pose_distance


def assert_near(pose, true, degrees: float, metres: float) -> None:
    """Both the angle and the distance of two poses (4, 4) are below these."""
    rotation, translation = pose_distance(np.asarray(pose), np.asarray(true))
    assert rotation < degrees and translation < metres, (rotation, translation)
