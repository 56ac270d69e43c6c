"""Do the cameras of a stored rig agree with each other, and do they go on doing so?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nclr_mm.models.task_modules import RigMatches, RigSolver

from .check import CheckedFrame, windows_of
from .estimate import DEFAULT_THRESHOLDS, Thresholds, pose_distance
from .rig import CameraMotion, KeptMatches, RigEstimate, Views, estimate_rig, find_moved_cameras

__all__ = ['RigDeviation', 'check_rig']


@dataclass
class RigDeviation:
    """What frames ``begin`` to ``end`` (excluded) say of the stored rig as a whole.

    Attributes:
        begin, end: the frames.
        estimate: its ``lidar2rig`` is the motion of the LiDAR against all cameras together: the
            true pose of each camera is ``stored lidar2rig``, and the identity stands for a stored
            calibration that is right.
        motions: by camera, whether it is where the rest of the rig puts it.
    """

    begin: int
    end: int
    estimate: RigEstimate
    motions: dict[str, CameraMotion]

    @property
    def size(self) -> tuple[float, float]:
        """Degrees and metres by which the LiDAR is off; NaN without a pose."""
        if self.estimate.verdict == 'failed':
            return float('nan'), float('nan')
        return pose_distance(self.estimate.lidar2rig, np.eye(4))

    @property
    def moved(self) -> list[str]:
        return [name for name, motion in self.motions.items() if motion.verdict == 'moved']


def check_rig(
    drive: Mapping[str, Sequence[CheckedFrame]],
    solver: RigSolver,
    window: int = 10,
    false_alarms: float = 0.01,
    shared: tuple[float, float] = (0.0, 0.0),
    per_image: int = 400,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> tuple[RigDeviation, list[RigDeviation]]:
    """Leave one camera out, over all frames of a drive and in windows of it.

    Args:
        drive: camera -> its frames, the same for all, with ``image_size``; two cameras at least.
        solver: finds poses and covariances.
        window: frames; windows do not span scenes.
        false_alarms, shared: of :func:`find_moved_cameras`.
        per_image: most matches that are used of an image.
        thresholds: of the verdict on the pose of the rig.

    Returns:
        Of all frames, and of the windows.

    Raises:
        ValueError: with one camera, which has no rest to agree with.
    """
    names = list(drive)
    if len(names) < 2:
        raise ValueError(f'A rig has two cameras or more; the drive has {len(names)}.')
    frames = [[drive[name][i] for name in names] for i in range(len(drive[names[0]]))]
    first = frames[0]
    every = Views(
        np.stack([frame.cam2img for frame in first]),
        np.stack([[frame.stored for frame in of_frame] for of_frame in frames]),
        first[0].image_size,
    )

    def views(begin: int, end: int) -> Views:
        return replace(every, rig2cam=every.rig2cam[begin:end])

    poses = [_look_poses(f, views(i, i + 1), first, solver) for i, f in enumerate(frames)]

    def deviation(begin: int, end: int) -> RigDeviation:
        kept = KeptMatches(per_image)
        for index, of_frame in enumerate(frames[begin:end]):
            kept.add(index, [joined_matches(*pair) for pair in zip(of_frame, first)])
        matches, seen = kept.matches(len(names)), views(begin, end)
        looks = [pose for of_frame in poses[begin:end] for pose in of_frame]
        return RigDeviation(
            begin,
            end,
            estimate_rig(matches, seen, looks, solver, thresholds),
            dict(zip(names, find_moved_cameras(matches, seen, solver, false_alarms, shared))),
        )

    return deviation(0, len(frames)), [
        deviation(*pair) for pair in windows_of(drive[names[0]], window)
    ]


def joined_matches(frame: CheckedFrame, first: CheckedFrame) -> tuple[np.ndarray, np.ndarray]:
    """Matches of all looks, pixels as the camera of the first frame would have them.

    Each frame may have intrinsics of its own, which is an affine map of the pixels.
    """
    to_first = first.cam2img @ np.linalg.inv(frame.cam2img)
    points = np.concatenate([points for points, _ in frame.matches])
    pixels = np.concatenate([pixels for _, pixels in frame.matches])
    return points, pixels @ to_first[:2, :2].T + to_first[:2, 2]


def _look_poses(
    frames: Sequence[CheckedFrame],
    views: Views,
    first: Sequence[CheckedFrame],
    solver: RigSolver,
) -> list[np.ndarray | None]:
    """The motion of the LiDAR that each look at a frame gives alone, or None."""
    poses: list[np.ndarray | None] = []
    for look in range(len(frames[0].matches)):
        one = [replace(frame, matches=[frame.matches[look]]) for frame in frames]
        matches = RigMatches.join([joined_matches(*pair) for pair in zip(one, first)])
        found = views.solve(solver, matches)
        poses.append(found.lidar2rig if found.valid else None)
    return poses
