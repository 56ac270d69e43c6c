"""A stored calibration that is right, wrong, or becomes wrong; matches made from a known pose."""

import numpy as np
import pytest

from nclr_mm.calibration import (
    CheckedFrame,
    Tolerances,
    check_camera,
    disturbance,
    pose_distance,
)
from nclr_mm.models.task_modules import PoseLibSolver
from tests.calibration.matches import CAM2IMG, SIZE, TRUE, look, near


def drive(stored, wrong=0.3):
    """Frames of two looks each, one for each stored pose."""
    rng = np.random.default_rng(0)
    return [
        CheckedFrame(
            str(i), [look(rng, wrong=wrong) for _ in range(2)], [near(rng), near(rng)], pose
        )
        for i, pose in enumerate(stored)
    ]


def check(frames, **settings):
    return check_camera(frames, CAM2IMG, SIZE, PoseLibSolver(), **settings)


def test_a_right_calibration():
    result = check(drive([TRUE] * 12), window=4)
    assert result.verdict == 'ok'
    assert len(result.frames) == 12
    assert [(w.begin, w.end) for w in result.windows] == [(0, 4), (2, 6), (4, 8), (6, 10), (8, 12)]
    assert (result.overall.begin, result.overall.end) == (0, 12)
    assert result.overall.rotation < 0.1 and result.overall.translation < 0.1
    assert not any(d.exceeds for d in [*result.frames, *result.windows, result.overall])


@pytest.mark.parametrize(('degrees', 'metres'), [(2, 0), (0, 0.6)])
def test_a_wrong_calibration(degrees, metres):
    off = disturbance(degrees, metres, seed=3)
    result = check(drive([off @ TRUE] * 8), window=4)
    assert result.verdict == 'off'
    assert result.drifts == []
    # The correction undoes what was added.
    assert pose_distance(result.overall.correction @ off, np.eye(4)) < (0.1, 0.1)
    assert result.overall.rotation == pytest.approx(degrees, abs=0.1)
    assert all(frame.exceeds for frame in result.frames)


def test_a_calibration_that_becomes_wrong():
    off = disturbance(2, 0, seed=1)
    result = check(drive([TRUE] * 8 + [off @ TRUE] * 8), window=4)
    assert result.verdict == 'drifting'
    assert [(result.windows[i].begin, result.windows[i].end) for i in result.drifts][-1] == (12, 16)
    assert not any(frame.exceeds for frame in result.frames[:8])
    assert all(frame.exceeds for frame in result.frames[8:])


def test_stored_poses_that_follow_the_time_of_each_image():
    """nuScenes: the car moves between scan and image, otherwise in each frame."""
    rng = np.random.default_rng(0)
    frames = []
    for i in range(6):
        pose = disturbance(1.5, 0.5, seed=i) @ TRUE
        frames.append(CheckedFrame(str(i), [look(rng, pose=pose)], [pose], pose))
    result = check(frames, window=3)
    assert result.verdict == 'ok'
    assert result.overall.rotation < 0.1 and result.overall.translation < 0.1


def test_what_is_let_pass():
    frames = drive([disturbance(2, 0, seed=1) @ TRUE] * 4)
    assert check(frames, tolerances=Tolerances(rotation=3.0, translation=1.0)).verdict == 'ok'
    assert check(frames, tolerances=Tolerances(spreads=1e6)).verdict == 'ok'


def test_nothing_but_wrong_matches():
    result = check(drive([TRUE] * 4, wrong=1.0), window=2)
    assert result.verdict == 'unknown'
    assert not result.overall.exceeds


def test_a_disturbance_is_as_large_as_asked_for():
    motion = disturbance(5, 0.3, seed=7)
    assert pose_distance(motion, np.eye(4)) == pytest.approx((5, 0.3))
    assert (disturbance(5, 0.3, seed=8) != motion).any()


def test_unfit_input():
    with pytest.raises(ValueError, match='no frame'):
        check([])
    with pytest.raises(ValueError, match='window must be at least 1'):
        check(drive([TRUE]), window=0)
