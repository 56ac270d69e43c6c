"""How exact, how honest and how watchful the estimate of a rig is, on drives whose truth is stored.

From what a network matched once, each frame alone and groups of neighbouring frames are solved,
compared with the stored calibration, and again with one camera's stored pose moved on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from scipy.stats import chi2

from nclr_mm.models.task_modules import RigMatches, RigPose, RigSolver, log_motion

from .check import CheckedFrame, disturbance
from .estimate import error_bound, pose_distance
from .rig import KeptMatches, Views, find_moved_cameras
from .rig_check import joined_matches

__all__ = [
    'Trial',
    'coverage',
    'detection',
    'fit_inflation',
    'groups_of',
    'kept_of',
    'try_groups',
    'within_bounds',
]

LEVELS = (0.5, 0.9, 0.99)


@dataclass
class Trial:
    """One estimate against the truth.

    Attributes:
        rotation, translation: the largest error of any camera's ``lidar2cam``, degrees and metres;
            infinite where no pose was found.
        distance: squared error measured by the stated covariance, NaN where that is not known.
        excess: error over its 90 % bound, the larger one of rotation and translation; NaN where
            that is not known.
        scene: drive that it is of.
    """

    rotation: float = float('inf')
    translation: float = float('inf')
    distance: float = float('nan')
    excess: float = float('nan')
    scene: str | None = None


def groups_of(drive: Mapping[str, Sequence[CheckedFrame]], size: int) -> list[range]:
    """Neighbouring frames of one scene, ``size`` of them; no frame is in two groups."""
    frames = next(iter(drive.values()))
    groups, first = [], 0
    for _, scene in groupby(frame.scene for frame in frames):
        number = len(list(scene))
        groups += [
            range(first + begin, first + begin + size)
            for begin in range(0, number - size + 1, size)
        ]
        first += number
    return groups


def kept_of(
    drive: Mapping[str, Sequence[CheckedFrame]], frames: Sequence[int], per_image: int = 400
) -> tuple[RigMatches, Views]:
    """Matches of some frames, as :func:`nclr_mm.apis.calibrate_rig` keeps them, and their views."""
    kept = KeptMatches(per_image)
    first = [camera[0] for camera in drive.values()]
    for index, frame in enumerate(frames):
        of_frame = [camera[frame] for camera in drive.values()]
        kept.add(index, [joined_matches(*pair) for pair in zip(of_frame, first)])
    views = Views(
        np.stack([frame.cam2img for frame in first]),
        np.stack([[camera[frame].stored for camera in drive.values()] for frame in frames]),
        first[0].image_size,
    )
    return kept.matches(len(drive)), views


def try_groups(
    drive: Mapping[str, Sequence[CheckedFrame]],
    solver: RigSolver,
    size: int,
    each: bool = False,
    per_image: int = 400,
) -> list[Trial]:
    """Solve each group of frames.

    Args:
        drive: camera -> frames whose ``stored`` poses are the truth.
        solver: finds the poses.
        size: of the groups, see :func:`groups_of`.
        each: each camera by itself instead of all together.
        per_image: most matches that are used of an image.
    """
    trials = []
    scenes = [frame.scene for frame in next(iter(drive.values()))]
    for group in groups_of(drive, size):
        matches, views = kept_of(drive, group, per_image)
        for camera in range(len(drive)) if each else (None,):
            some = slice(None) if camera is None else matches.view % len(drive) == camera
            found = views.solve(solver, matches[some])
            used = slice(None) if camera is None else slice(camera, camera + 1)
            trials.append(_trial(found, views.rig2cam[0, used], scenes[group[0]]))
    return trials


def _trial(found: RigPose, rig2cam: np.ndarray, scene: str | None) -> Trial:
    if not found.valid:
        return Trial(scene=scene)
    # Where the stored calibration is the frame of the rig, the true ``lidar2rig`` is the identity.
    errors = [pose_distance(pose @ found.lidar2rig, pose) for pose in rig2cam]
    rotation, translation = np.max(errors, axis=0)
    xi = log_motion(np.linalg.inv(found.lidar2rig))
    distance = excess = float('nan')
    if np.isfinite(found.covariance).all():
        distance = float(xi @ np.linalg.solve(found.covariance, xi))
        # Of the rig itself, whose covariance it is: errors of its cameras are larger by a lever.
        excess = float(
            np.max(
                np.divide(pose_distance(np.eye(4), found.lidar2rig), error_bound(found.covariance))
            )
        )
    return Trial(float(rotation), float(translation), distance, excess, scene)


def coverage(trials: Sequence[Trial], inflation: float = 1.0) -> list[float]:
    """Share of the true errors in the 50, 90 and 99 % ellipsoids of the stated covariance."""
    distances = np.array([t.distance for t in trials if np.isfinite(t.distance)]) / inflation
    return [float(np.mean(distances <= chi2.ppf(level, 6))) for level in LEVELS]


def within_bounds(trials: Sequence[Trial]) -> tuple[float, float]:
    """Share of the trials whose errors are both within their 90 % bounds, and the factor on the
    covariance with which 90 % would be; NaN where no trial has a covariance."""
    excess = np.array([t.excess for t in trials if np.isfinite(t.excess)])
    if not len(excess):
        return float('nan'), float('nan')
    return float(np.mean(excess <= 1)), float(np.quantile(excess, 0.9) ** 2)


def fit_inflation(trials: Sequence[Trial]) -> float:
    """The factor on the covariance that makes its ellipsoids hold what they should, most nearly.

    It is the one for which the largest difference of :func:`coverage` from 50, 90 and 99 % is
    least. At least 1: a covariance that is large enough is left as it is.
    """
    distances = np.array([t.distance for t in trials if np.isfinite(t.distance)])
    if not len(distances):
        raise ValueError('No trial has a pose with a covariance to fit a factor to.')
    # Between these the shares do not change.
    factors = np.unique(np.outer(distances, [1 / chi2.ppf(level, 6) for level in LEVELS]))
    factors = [1.0, *factors[factors > 1]]
    return float(min(factors, key=lambda f: np.abs(np.subtract(coverage(trials, f), LEVELS)).max()))


def detection(
    drive: Mapping[str, Sequence[CheckedFrame]],
    solver: RigSolver,
    size: int,
    degrees: float,
    metres: float,
    false_alarms: float = 0.01,
    shared: tuple[float, float] = (0.0, 0.0),
    limit: int = 30,
    per_image: int = 400,
) -> tuple[int, int, int]:
    """Move the stored pose of one camera in each group of frames, and see which are found moved.

    Args:
        drive, solver, size, per_image: as in :func:`try_groups`; two cameras at least.
        degrees, metres: by which it is moved, about and along random axes; cameras take turns.
        false_alarms, shared: of :func:`find_moved_cameras`.
        limit: most groups that are tried.

    Returns:
        Groups in which the moved camera was found moved, groups in which another one was, and
        groups tried.
    """
    names = list(drive)
    found = alarms = 0
    groups = groups_of(drive, size)[:limit]
    for index, group in enumerate(groups):
        culprit = index % len(names)
        motion = disturbance(degrees, metres, index)
        name = names[culprit]
        moved = dict(drive)
        moved[name] = [replace(f, stored=motion @ f.stored) for f in drive[name]]
        matches, views = kept_of(moved, group, per_image)
        verdicts = [
            camera.verdict == 'moved'
            for camera in find_moved_cameras(matches, views, solver, false_alarms, shared)
        ]
        found += verdicts[culprit]
        alarms += any(verdicts[:culprit] + verdicts[culprit + 1 :])
    return found, alarms, len(groups)
