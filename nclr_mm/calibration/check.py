"""Is a stored calibration right, and does it stay right? Frames of a drive against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby

import numpy as np
from scipy.spatial.transform import Rotation

from nclr_mm.models.task_modules import PoseSolver, RigSolver

from .alignment import Alignment, EdgeFrame, align_edges, evenly
from .estimate import (
    DEFAULT_THRESHOLDS,
    Estimate,
    Matches,
    Thresholds,
    estimate_pose,
    pose_distance,
)

__all__ = [
    'ALIGNED_TOLERANCES',
    'CameraCheck',
    'CheckedFrame',
    'Deviation',
    'Tolerances',
    'check_camera',
    'disturbance',
]


@dataclass
class CheckedFrame:
    """What the network made of one camera in one frame.

    Attributes:
        name: of the frame.
        matches: LiDAR points (M, 3) and pixels (M, 2) of each look.
        poses: ``lidar2cam`` (4, 4) of each look, or None.
        stored: (4, 4) ``lidar2cam`` that the data set holds.
        cam2img: (3, 3) of the image that the matched pixels are of.
        edges: gives the frame's edges and the (3, 3) intrinsics of the image that they are of; for
            the alignment.
        scene: drive that the frame is of, where the data set knows; no window spans two.
        image_size: (height, width) of the image that the matched pixels are of, where it is known.
    """

    name: str
    matches: list[tuple[np.ndarray, np.ndarray]]
    poses: list[np.ndarray | None]
    stored: np.ndarray
    cam2img: np.ndarray
    edges: Callable[[], tuple[EdgeFrame, np.ndarray]] | None = None
    scene: str | None = None
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Tolerances:
    """Deviations from the stored calibration that are accepted, whatever their uncertainty.

    They should be about as large as the model's own error on calibrated data of this kind, which
    averaging over frames does not take away.

    Attributes:
        rotation: degrees.
        translation: metres.
        bounds: a deviation that is the network's alone must also exceed so many of its 90 % bounds
            (:attr:`Findings.bound`); one that exceeds the tolerances but not these tells nothing.
    """

    rotation: float = 1.0
    translation: float = 0.3
    bounds: float = 1.0


DEFAULT_TOLERANCES = Tolerances()
#: A frame has few looks; whether it deviates is decided by its bound.
FRAME_THRESHOLDS = replace(DEFAULT_THRESHOLDS, looks=1)
#: Where edges are aligned after the network's estimate, which is more exact.
ALIGNED_TOLERANCES = Tolerances(0.5, 0.05)
# An alignment may go this far from where it starts: degrees, metres.
_REACH = (3.0, 1.0)


@dataclass
class Deviation:
    """How far frames ``begin`` to ``end`` (excluded) put the camera from where it is stored.

    Attributes:
        begin, end: the frames.
        estimate: of the correction by the network, with covariance and verdict.
        alignment: of edges, from the stored pose and from that of the network; None where it was
            not asked for, gained nothing, or contradicts the network.
        exceeds: whether it is beyond the tolerances.
        unclear: whether it may be, but is too uncertain to tell.
    """

    begin: int
    end: int
    estimate: Estimate
    alignment: Alignment | None = None
    exceeds: bool = False
    unclear: bool = False

    @property
    def correction(self) -> np.ndarray:
        """(4, 4) motion C of the camera's frame; its true pose is ``C @ stored``."""
        return self.estimate.lidar2cam if self.alignment is None else self.alignment.correction

    @property
    def bound(self) -> tuple[float, float]:
        """90 % bounds, degrees and metres, of the network's estimate; 0 of an alignment, of which
        they are not known."""
        return self.estimate.bound if self.alignment is None else (0.0, 0.0)

    @property
    def rotation(self) -> float:
        """Angle of the correction in degrees."""
        return pose_distance(self.correction, np.eye(4))[0]

    @property
    def translation(self) -> float:
        """Length of the correction's translation in metres."""
        return pose_distance(self.correction, np.eye(4))[1]


@dataclass
class CameraCheck:
    """The check of a camera over a drive.

    Attributes:
        frames: each frame by itself.
        windows: runs of frames, for the drift over time.
        overall: all frames together.
        drifts: windows that lie beyond the tolerances from the first one that has a pose.
        verdict: ``drifting`` where a window has drifted; ``off`` where the overall deviation
            exceeds the tolerances; ``unknown`` where all frames together have no pose, or one that
            is too uncertain; else ``ok``.
    """

    frames: list[Deviation]
    windows: list[Deviation]
    overall: Deviation
    drifts: list[int] = field(default_factory=list)
    verdict: str = 'ok'


def check_camera(
    frames: Sequence[CheckedFrame],
    solver: PoseSolver,
    rig_solver: RigSolver,
    window: int = 10,
    tolerances: Tolerances = DEFAULT_TOLERANCES,
    align: int = 0,
    aligned_tolerances: Tolerances = ALIGNED_TOLERANCES,
    thresholds: Thresholds = FRAME_THRESHOLDS,
) -> CameraCheck:
    """Compare the stored calibration of a camera with what frames say, one by one and in windows.

    Args:
        frames: in the order of time, of one vehicle.
        solver: finds the poses.
        rig_solver: gives their covariances.
        window: frames a window; windows of one scene overlap by half.
        tolerances: what is let pass of the network's estimates.
        align: at most so many of all frames, evenly chosen, are aligned by their edges after the
            network's estimate (:func:`~nclr_mm.calibration.align_edges`); 0 for none. It takes
            frames that show different things, so there must be twice as many, and neither frames
            nor windows are aligned by themselves. They need ``edges``.
        aligned_tolerances: what is let pass of aligned estimates.
        thresholds: of the verdict on each pose.

    Raises:
        ValueError: without frames, or with a window of less than one.
    """
    if not len(frames):
        raise ValueError('There is no frame to check.')
    if window < 1:
        raise ValueError(f'window must be at least 1, got {window}.')

    @cache  # a window may be a frame, or all of them
    def estimated(begin: int, end: int) -> Estimate:
        return _estimate(frames[begin:end], solver, rig_solver, thresholds)

    def deviation(begin: int, end: int, align: int = 0) -> Deviation:
        part, estimate = frames[begin:end], estimated(begin, end)
        result = Deviation(begin, end, estimate)
        if estimate.verdict == 'failed':
            return result
        if align and len(part) >= 2 * align:
            result.alignment = _align(part, align, estimate, tolerances)
        allowed = tolerances if result.alignment is None else aligned_tolerances
        size = result.rotation, result.translation
        result.exceeds = _exceeds(size, result.bound, allowed)
        result.unclear = not result.exceeds and _exceeds(size, (0, 0), allowed)
        return result

    single = [deviation(i, i + 1) for i in range(len(frames))]
    windows = [deviation(begin, end) for begin, end in windows_of(frames, window)]
    overall = deviation(0, len(frames), align)
    check = CameraCheck(single, windows, overall)
    known = [i for i, w in enumerate(windows) if w.estimate.verdict != 'failed']
    for i in known[1:]:
        first, other = windows[known[0]], windows[i]
        change = pose_distance(other.correction, first.correction)
        if _exceeds(change, np.hypot(first.bound, other.bound), tolerances):
            check.drifts.append(i)
    if check.drifts:
        check.verdict = 'drifting'
    elif overall.estimate.verdict == 'failed' or overall.unclear:
        check.verdict = 'unknown'
    elif overall.exceeds:
        check.verdict = 'off'
    return check


def windows_of(frames: Sequence[CheckedFrame], size: int) -> list[tuple[int, int]]:
    """Begin and end of the windows of each run of frames of one scene."""
    result, first = [], 0
    for _, scene in groupby(frame.scene for frame in frames):
        number = len(list(scene))
        last = max(number - size, 0)
        begins = sorted({*range(0, last + 1, max(1, size // 2)), last})
        result += [(first + begin, first + min(begin + size, number)) for begin in begins]
        first += number
    return result


def _estimate(
    frames: Sequence[CheckedFrame],
    solver: PoseSolver,
    rig_solver: RigSolver,
    thresholds: Thresholds,
) -> Estimate:
    """Solve for the correction C: points of the stored camera frame to the true one.

    Intrinsics may differ from frame to frame; all pixels become those of the first frame's camera.
    """
    cam2img = frames[0].cam2img
    matches, poses = [], []
    for frame in frames:
        rotation, shift = frame.stored[:3, :3], frame.stored[:3, 3]
        to_first = cam2img @ np.linalg.inv(frame.cam2img)  # affine, for its last row is 0 0 1
        matches += [
            (points @ rotation.T + shift, pixels @ to_first[:2, :2].T + to_first[:2, 2])
            for points, pixels in frame.matches
        ]
        back = np.linalg.inv(frame.stored)
        poses += [None if pose is None else pose @ back for pose in frame.poses]
    size = frames[0].image_size
    return estimate_pose(
        Matches.join(matches), poses, cam2img, size, solver, rig_solver, thresholds
    )


def _align(
    frames: Sequence[CheckedFrame], number: int, estimate: Estimate, tolerances: Tolerances
) -> Alignment | None:
    """Align some of the frames, from the stored poses and from the network's correction.

    None where edges gain nothing, which is no evidence for the stored pose, or end where the
    network says that the camera is not.
    """
    some = [frames[i] for i in evenly(len(frames), number)]
    edges, intrinsics = zip(*(frame.edges() for frame in some))
    stored = np.stack([frame.stored for frame in some])
    correction = estimate.lidar2cam
    found = align_edges(edges, np.stack(intrinsics), stored, [correction], limits=_REACH)
    apart = pose_distance(found.correction, correction)
    if found.reason or _exceeds(apart, estimate.bound, tolerances):
        return None
    return found


def _exceeds(size: Sequence[float], bound: Sequence[float], tolerances: Tolerances) -> bool:
    limits = np.array([tolerances.rotation, tolerances.translation])
    limits = np.maximum(limits, tolerances.bounds * np.asarray(bound))
    return bool((np.asarray(size) > limits).any())


def disturbance(degrees: float, metres: float, seed: int) -> np.ndarray:
    """A motion (4, 4) by an angle about a random axis and by a distance in a random direction."""
    rng = np.random.default_rng(seed)
    axis, direction = rng.normal(size=(2, 3))
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(
        np.deg2rad(degrees) * axis / np.linalg.norm(axis)
    ).as_matrix()
    motion[:3, 3] = metres * direction / np.linalg.norm(direction)
    return motion
