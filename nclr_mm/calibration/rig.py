"""The pose of a rig from many frames, what is sure of it, and which of its cameras has moved.

The rig's frame is any frame that is fixed to the vehicle; ``rig2cam`` of each camera is known in
it, and ``lidar2rig`` is what is looked for. While the vehicle moves, a camera fires elsewhere than
where the LiDAR was: the motion of the rig's frame from the stamp of the scan to that of the image
is taken out where it is known.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import f as fisher

from nclr_mm.datasets.checks import BROKEN_ARCHIVE
from nclr_mm.models.task_modules import RigMatches, RigPose, RigSolver, log_motion
from nclr_mm.reading import check_archive
from nclr_mm.writing import write_whole

from .estimate import DEFAULT_THRESHOLDS, Findings, Thresholds, pose_distance

__all__ = [
    'CameraMotion',
    'KeptMatches',
    'RigEstimate',
    'Views',
    'check_moved_camera_settings',
    'estimate_rig',
    'find_moved_cameras',
    'rig_history',
]

# Frames after which the estimate is looked at again, for the curve over their number.
_HISTORY = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

# A camera's freely solved pose stands for itself where it explains so many times the matches.
# Wrong matches of a network agree with each other too: on simulated streets up to 46 of 400 did.
_FAR_MORE = 3


@dataclass
class Views:
    """The images that matches are from: camera v of frame f is view ``f * V + v``.

    Attributes:
        cam2img: (V, 3, 3) intrinsics of the images that the network saw.
        rig2cam: (F, V, 4, 4) takes the rig's frame at the stamp of the scan to the camera at the
            stamp of its image.
        image_size: (height, width) of the images.
    """

    cam2img: np.ndarray
    rig2cam: np.ndarray
    image_size: tuple[int, int]

    @property
    def cameras(self) -> int:
        return self.rig2cam.shape[1]

    def flat(self) -> tuple[np.ndarray, np.ndarray]:
        """cam2img (F*V, 3, 3) and rig2cam (F*V, 4, 4) of all views."""
        frames = len(self.rig2cam)
        return np.tile(self.cam2img, (frames, 1, 1)), self.rig2cam.reshape(-1, 4, 4)

    def solve(
        self, solver: RigSolver, matches: RigMatches, start: np.ndarray | None = None
    ) -> RigPose:
        """The pose of the rig; the covariance knows which views are of one camera."""
        camera = np.tile(np.arange(self.cameras), len(self.rig2cam))
        return solver.solve(matches, *self.flat(), self.image_size, camera, start)


class KeptMatches:
    """Matches of many frames in bounded memory.

    Of each camera of a frame at most ``per_image`` are kept, and of all at most ``total``: those
    with the lowest of random priorities, which depend on the seed, the frame and the camera alone.
    So what is kept is a fair draw of all, and is the same whether the run was interrupted or not. A
    match takes 60 bytes.

    Args:
        per_image: most matches of one camera in one frame, over all looks.
        total: most matches altogether.
        seed: of the priorities.
    """

    def __init__(self, per_image: int = 400, total: int = 100_000, seed: int = 0) -> None:
        for name, value in (('per_image', per_image), ('total', total)):
            if value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}.')
        self.per_image, self.total, self.seed = int(per_image), int(total), int(seed)
        self.arrays = dict(
            points=np.zeros((0, 3)),
            pixels=np.zeros((0, 2)),
            frame=np.zeros(0, dtype=np.int64),
            camera=np.zeros(0, dtype=np.int32),
            priority=np.zeros(0),
        )

    def __len__(self) -> int:
        return len(self.arrays['points'])

    def add(self, frame: int, cameras: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Add points (M, 3) and pixels (M, 2) of each camera of a frame, of all its looks."""
        parts = {name: [values] for name, values in self.arrays.items()}
        for camera, (points, pixels) in enumerate(cameras):
            rng = np.random.default_rng([self.seed, frame, camera])
            priority = rng.random(len(points))
            chosen = np.sort(np.argsort(priority, kind='stable')[: self.per_image])
            parts['points'].append(points[chosen])
            parts['pixels'].append(pixels[chosen])
            parts['frame'].append(np.full(len(chosen), frame))
            parts['camera'].append(np.full(len(chosen), camera, dtype=np.int32))
            parts['priority'].append(priority[chosen])
        arrays = {name: np.concatenate(values) for name, values in parts.items()}
        if len(arrays['priority']) > self.total:
            order = np.argsort(arrays['priority'], kind='stable')[: self.total]
            arrays = {name: values[np.sort(order)] for name, values in arrays.items()}
        self.arrays = arrays

    def matches(self, cameras: int, frames: int | None = None) -> RigMatches:
        """The matches of the first ``frames`` frames (of all by default), by views."""
        kept = self.arrays
        chosen = slice(None) if frames is None else kept['frame'] < frames
        return RigMatches(
            kept['points'][chosen],
            kept['pixels'][chosen],
            (kept['frame'] * cameras + kept['camera'])[chosen],
        )

    def save(self, path: str | os.PathLike, settings: dict, **arrays: np.ndarray) -> None:
        """Write the matches, other arrays and what they depend on, at once.

        Raises:
            UnwritableError: naming the file, if it cannot be written; the old one stays.
        """
        header = np.frombuffer(json.dumps(settings, sort_keys=True).encode(), np.uint8)
        content = io.BytesIO()
        np.savez(content, header=header, **self.arrays, **arrays)
        write_whole(path, content.getvalue())

    def load(self, path: str | os.PathLike, settings: dict) -> dict[str, np.ndarray]:
        """Take up what :meth:`save` wrote; gives back the other arrays.

        Raises:
            ValueError: naming the file, if it is not of this kind or of other settings.
        """
        try:
            with open(path, 'rb') as opened:
                check_archive(opened)
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(arrays.pop('header').tobytes())
            own = {name: arrays.pop(name) for name in self.arrays}
            if not isinstance(header, dict):
                raise ValueError(f'its header must be a mapping, not {type(header).__name__}')
            for name, values in own.items():
                expected = (len(own['points']), *self.arrays[name].shape[1:])
                check_values(values, name, expected, self.arrays[name].dtype)
        except BROKEN_ARCHIVE as error:
            raise ValueError(
                f'{path} is not a state of an earlier calibration of a rig: {error}'
            ) from error
        changed = [key for key, value in settings.items() if header.get(key) != value]
        if changed:
            raise ValueError(
                f'{path} is of a calibration with another {", ".join(changed)}; remove it, or give '
                'what it was made with.'
            )
        self.arrays = own
        return arrays


def check_values(
    values: np.ndarray, name: str, shape: tuple[int, ...], dtype: np.dtype, finite: bool = True
) -> None:
    """Raise ValueError for an array of a state that is of another shape or kind, or not finite."""
    if values.shape != shape or values.dtype.kind != dtype.kind:
        raise ValueError(
            f'its {name} must be {np.dtype(dtype)} {shape}, not {values.dtype} {values.shape}'
        )
    if finite and not np.isfinite(values).all():
        raise ValueError(f'its {name} are not finite')


@dataclass
class RigEstimate(Findings):
    """The pose of a rig, and what is known of it.

    Attributes:
        lidar2rig: (4, 4) float64, takes LiDAR points to the rig's frame (metres); the identity if
            there is no pose. One that failed may hold a pose, which is not to be used.
        num_frames: how many frames it is from.
    """

    lidar2rig: np.ndarray = field(default_factory=lambda: np.eye(4))
    num_frames: int = 0


def estimate_rig(
    matches: RigMatches,
    views: Views,
    look_poses: Sequence[np.ndarray | None],
    solver: RigSolver,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> RigEstimate:
    """Solve one pose from the matches of all cameras, looks and frames together.

    Args:
        matches: in pixels of the images that the network saw.
        views: the images.
        look_poses: ``lidar2rig`` (4, 4) that each look gave on its own, or None where it gave none.
        solver: finds the pose and its covariance.
        thresholds: of the verdict; those of single cameras hold for the rig too.
    """
    frames = len(views.rig2cam)
    result = RigEstimate(num_matches=len(matches), num_frames=frames, num_looks=len(look_poses))
    found = views.solve(solver, matches)
    if not found.valid:
        result.reasons.append(f'no pose of the rig explains the {len(matches)} matches')
        return result
    result.lidar2rig, result.covariance = found.lidar2rig, found.covariance
    result.num_inliers, result.reproj_error = int(found.inliers.sum()), found.reproj_error
    result.judge_distance(views.rig2cam[0] @ found.lidar2rig, thresholds)
    result.judge(
        result.lidar2rig, look_poses, result.num_inliers / max(len(look_poses), 1), thresholds
    )
    return result


def rig_history(
    kept: KeptMatches, views: Views, solver: RigSolver
) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """The estimate after 1, 2, 5, 10, ... frames: number, ``lidar2rig`` and covariance.

    Numbers whose matches give no pose are left out.
    """
    frames = len(views.rig2cam)
    rows = []
    for number in sorted({n for n in _HISTORY if n < frames} | {frames}):
        first = replace(views, rig2cam=views.rig2cam[:number])
        found = first.solve(solver, kept.matches(views.cameras, number))
        if found.valid:
            rows.append((number, found.lidar2rig, found.covariance))
    return rows


@dataclass
class CameraMotion:
    """Where one camera says that it is, against where the rest of the rig puts it.

    Attributes:
        verdict: ``steady``, ``moved``, or ``unknown`` where it, or the rest, has no pose.
        p_value: probability of a deviation as large as this one if the camera has not moved,
            after correction for the number of cameras (Bonferroni); NaN where unknown.
        rotation, translation: how far it is off, degrees and metres; NaN where unknown.
        correction: (4, 4) motion C of the camera's frame: its pose is ``C rig2cam lidar2rig``.
        covariance: (6, 6) of the deviation, as that of the rig.
        statistic: ``xi^T C^-1 xi``, about 6 where nothing moved.
        own: the rig's pose from this camera's matches alone, or one that is not valid: the one next
            to where the rest puts it, unless another explains far more of them.
    """

    verdict: str = 'unknown'
    p_value: float = float('nan')
    rotation: float = float('nan')
    translation: float = float('nan')
    correction: np.ndarray = field(default_factory=lambda: np.eye(4))
    covariance: np.ndarray = field(default_factory=lambda: np.full((6, 6), np.inf))
    statistic: float = float('nan')
    own: RigPose = field(default_factory=RigPose)


def check_moved_camera_settings(false_alarms: float, shared: Sequence[float]) -> None:
    """Raise ValueError for settings that :func:`find_moved_cameras` cannot have."""
    if not 0 < false_alarms < 1:
        raise ValueError(f'false_alarms must lie in (0, 1), got {false_alarms}.')
    if not all(0 <= value < np.inf for value in shared):  # nor NaN
        raise ValueError(f'The shared error must not be negative, got {tuple(shared)}.')


def find_moved_cameras(
    matches: RigMatches,
    views: Views,
    solver: RigSolver,
    false_alarms: float = 0.01,
    shared: tuple[float, float] = (0.0, 0.0),
) -> list[CameraMotion]:
    """Leave one camera out, solve the rest, and ask whether its own pose agrees.

    The deviation xi of the two poses of the LiDAR has the covariance C that is the sum of theirs,
    and ``xi^T C^-1 xi`` follows Hotelling's T^2 while the camera is where it was, with the degrees
    of freedom of the camera's own covariance, which is by far the greater part.
    The camera that deviates most is taken out of the rest before the others are judged, as long as
    one deviates: a moved camera would pull the rest towards itself.

    Most of a network's matches may be wrong, and of a single camera's there may be so few right
    ones that some other pose explains as many by chance. So its own pose is sought next to where
    the rest puts it, from where a small motion is found exactly; a pose that is solved freely
    stands instead where it explains three times as many matches, as after a large motion.

    Args:
        matches: of all cameras and frames.
        views: the images.
        solver: finds poses and covariances.
        false_alarms: probability that a rig without fault has a camera called ``moved``.
        shared: standard deviations (degrees, metres) of each axis of an error that all matches of
            a camera share, which the covariance does not know: the network's own.

    Returns:
        One a camera.
    """
    check_moved_camera_settings(false_alarms, shared)
    number = views.cameras
    camera = matches.view % number

    def solve(cameras: Sequence[int], start: RigPose | None = None) -> RigPose:
        chosen = matches[np.isin(camera, cameras)]
        if start is not None and start.valid:
            return views.solve(solver, chosen, start.lidar2rig)
        return views.solve(solver, chosen)

    everything = views.solve(solver, matches)
    free = [solve([i]) for i in range(number)]
    bias = np.diag(np.repeat([np.deg2rad(shared[0]), shared[1]], 3) ** 2)
    result = [CameraMotion(own=pose) for pose in free]
    steady = set(range(number))
    while len(steady) > 1:
        judged = {}
        for i in sorted(steady):
            rest = solve(sorted(steady - {i}), everything)
            own = solve([i], rest)
            support = max(own.inliers.sum(), solver.min_inliers)
            if free[i].valid and free[i].inliers.sum() > _FAR_MORE * support:
                own = free[i]
            motion = _compare(own, rest, bias, number, views.rig2cam[0, i])
            if motion is not None:
                judged[i] = motion
        suspects = [i for i, motion in judged.items() if motion.p_value < false_alarms]
        if not suspects:
            for i, motion in judged.items():
                result[i] = replace(motion, verdict='steady')
            break
        if len(steady) == 2:
            # Of two cameras that contradict each other, which one moved cannot be known.
            for i, motion in judged.items():
                result[i] = motion
            break
        worst = max(suspects, key=lambda i: judged[i].statistic)
        result[worst] = replace(judged[worst], verdict='moved')
        steady.remove(worst)
    return result


def _compare(
    own: RigPose, rest: RigPose, bias: np.ndarray, number: int, rig2cam: np.ndarray
) -> CameraMotion | None:
    """The deviation of a camera's own ``lidar2rig`` from that of the rest; None where unknown."""
    if not (own.valid and rest.valid):
        return None
    covariance = own.covariance + rest.covariance + bias
    if not np.isfinite(covariance).all():
        return None
    xi = log_motion(np.linalg.inv(rest.lidar2rig) @ own.lidar2rig)
    statistic = float(xi @ np.linalg.solve(covariance, xi))
    correction = rig2cam @ own.lidar2rig @ np.linalg.inv(rig2cam @ rest.lidar2rig)
    degrees, metres = pose_distance(correction, np.eye(4))
    # The covariance was enlarged to make up for its few groups; T^2 has it as it was estimated.
    freedom = own.groups - 1
    hotelling = statistic * freedom / (freedom - 7)
    p_value = fisher.sf(hotelling * (freedom - 5) / (freedom * 6), 6, freedom - 5)
    return CameraMotion(
        p_value=min(1.0, number * float(p_value)),
        rotation=degrees,
        translation=metres,
        correction=correction,
        covariance=covariance,
        statistic=statistic,
        own=own,
    )
