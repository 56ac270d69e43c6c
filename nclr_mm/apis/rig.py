"""Calibrating a rig of cameras against a LiDAR, over the frames of a drive."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from nclr_mm.calibration import (
    DEFAULT_THRESHOLDS,
    AdjustedRig,
    CameraMotion,
    KeptMatches,
    RigEstimate,
    RigPriors,
    Thresholds,
    Views,
    adjust_rig,
    check_moved_camera_settings,
    estimate_rig,
    find_moved_cameras,
    rig_history,
)
from nclr_mm.calibration.rig import check_values
from nclr_mm.datasets.checks import check_intrinsics, check_rigid
from nclr_mm.models.task_modules import RigMatches, RigSolver

from .calibration import Image, Points, camera_names, given_image, given_points
from .looks import Looker

__all__ = [
    'RigCalibration',
    'RigCamera',
    'RigFrame',
    'calibrate_rig',
    'ego_motion',
]


@dataclass
class RigFrame:
    """A scan and the images that were taken with it.

    Attributes:
        points: (N, >= 4) x, y, z in metres and intensity, in the LiDAR's frame with z up; or a
            file, or a function that gives them when the turn of the frame comes.
        images: V images, uint8 BGR (H, W, 3), free of lens distortion; or files, or functions.
        motion: (V, 4, 4) takes the rig's frame at the stamp of the scan to that at the stamp of
            each image (:func:`ego_motion`), or None where it is not known, or nothing moves.
        stamp: of the scan in seconds, or None; frames must come in order.
        name: of the frame, for errors.
    """

    points: Points | Callable[[], np.ndarray]
    images: Sequence[Image | Callable[[], np.ndarray]]
    motion: np.ndarray | None = None
    stamp: float | None = None
    name: str = ''

    def load(self) -> tuple[Points, list[Image]]:
        """Points and images as given, or as the functions give them."""
        points, *images = (x() if callable(x) else x for x in (self.points, *self.images))
        return points, images


@dataclass
class RigCamera:
    """What is known of one camera of a rig.

    Attributes:
        lidar2cam: (4, 4) from the pose of the rig; with ``adjust`` from the adjusted one.
        own_lidar2cam: (4, 4) by ``motion.own``, its own matches; the identity where it has none.
        motion: whether it is where the rest of the rig puts it.
        num_matches, num_inliers: of what was kept; inliers of the rig's pose.
        reproj_error: root mean square over them in pixels of the image as given; inf without any.
        num_empty: frames in which it had no match at all (black, covered, or nothing in common).
        cam2img: (3, 3) of the image as given; with ``adjust`` the adjusted one.
        image_size: (height, width).
    """

    lidar2cam: np.ndarray
    own_lidar2cam: np.ndarray
    motion: CameraMotion
    num_matches: int
    num_inliers: int
    reproj_error: float
    num_empty: int
    cam2img: np.ndarray
    image_size: tuple[int, int]


@dataclass
class RigCalibration:
    """What :func:`calibrate_rig` found.

    Attributes:
        estimate: the pose of the rig, its covariance and verdict.
        cameras: by name.
        history: number of frames, ``lidar2rig`` and covariance after 1, 2, 5, 10, ... of them.
        motion_known: whether the motion between the stamps was taken out in every frame. Without
            it a moving vehicle's cameras seem shifted by what it drives between the stamps.
        adjusted: of :func:`nclr_mm.calibration.adjust_rig` where it was asked for.
    """

    estimate: RigEstimate
    cameras: dict[str, RigCamera]
    history: list[tuple[int, np.ndarray, np.ndarray]] = field(default_factory=list)
    motion_known: bool = False
    adjusted: AdjustedRig | None = None


def ego_motion(at_scan: np.ndarray, at_images: np.ndarray) -> np.ndarray:
    """Motion (V, 4, 4) of the rig's frame between the stamps, from poses of the vehicle.

    Args:
        at_scan: (4, 4) takes the rig's frame at the stamp of the scan to the world.
        at_images: (V, 4, 4) the same at the stamp of each image.
    """
    return np.linalg.inv(at_images) @ at_scan


def calibrate_rig(
    model: nn.Module,
    frames: Iterable[RigFrame],
    cam2img: Sequence | np.ndarray,
    rig2cam: Sequence | np.ndarray,
    cameras: Sequence[str] | None = None,
    looks: int = 4,
    intensity_scale: float = 1.0,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    adjust: RigPriors | None = None,
    false_alarms: float = 0.01,
    shared: tuple[float, float] = (0.0, 0.0),
    per_image: int = 400,
    total: int = 100_000,
    state: str | os.PathLike | None = None,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> RigCalibration:
    """Find the one motion from LiDAR to rig that explains the matches of all cameras and frames.

    Frames are taken one after the other, and of each only matches are kept
    (:class:`nclr_mm.calibration.KeptMatches`): memory does not grow with the drive.

    Args:
        model: a trained NCLR model of :func:`init_model`.
        frames: of one drive, in order.
        cam2img: (V, 3, 3) intrinsics in pixels of the images as given.
        rig2cam: (V, 4, 4) takes the rig's frame to each camera (metres). The rig's frame may be any
            that is fixed to the vehicle; where the frames have ``motion``, the one that it is of.
        cameras: names of the cameras; by default ``'0'``, ``'1'``, ...
        looks: of the network at each frame, at least 1.
        intensity_scale: brings intensities to the unit of the data that the model was trained on.
        thresholds: of the verdict.
        adjust: priors with which each camera, and its lens, is adjusted after that; None leaves
            the rig rigid.
        false_alarms, shared: of :func:`nclr_mm.calibration.find_moved_cameras`.
        per_image, total: most matches that are kept of an image, and of all.
        state: file to keep what is done in; where it exists, the run goes on after its last frame.
        seed: of the motions and draws; the same seed gives the same result, interrupted or not.
        progress: called after each frame with the number done.

    Returns:
        The rig and its cameras.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if an input does not fit, saying which. What was done before is in ``state``.
    """
    if looks < 1:
        raise ValueError(f'looks must be at least 1, got {looks}.')
    check_moved_camera_settings(false_alarms, shared)
    cam2img = check_intrinsics(np.asarray(cam2img), 'cam2img')
    rig2cam = check_rigid(np.asarray(rig2cam), 'rig2cam')
    number = len(cam2img)
    if rig2cam.shape != (number, 4, 4):
        raise ValueError(
            f'rig2cam must hold a 4x4 matrix for each of the {number} cameras, got the shape '
            f'{rig2cam.shape}.'
        )
    names = camera_names(cameras, number)
    solver = model.calib_head.rig_solver or RigSolver()
    run = _Run(
        KeptMatches(per_image, total, seed),
        settings=dict(
            form=2,  # of the file
            cameras=names,
            cam2img=cam2img.tolist(),
            rig2cam=rig2cam.tolist(),
            looks=looks,
            intensity_scale=intensity_scale,
            per_image=per_image,
            total=total,
            seed=seed,
            weights=_fingerprint(model),
        ),
    )
    if state is not None and Path(state).exists():
        run.load(state)
    looker = Looker(model, names, seed)
    index = -1
    for index, frame in enumerate(frames):
        run.check_order(index, frame)
        where = frame.name or str(index)
        motion = _motion_of(frame, number, where)
        if index < run.done:
            run.check_known(index, frame, motion)
            continue
        if len(frame.images) != number:
            raise ValueError(f'Frame {where} has {len(frame.images)} images for {number} cameras.')
        scan, pictures = frame.load()
        images = [given_image(picture, where) for picture in pictures]
        run.check_sizes(images, where)
        _check_centres(cam2img, images, names)
        points = given_points(scan, intensity_scale, f'The scan of frame {where}')
        found = looker.look(points, images, cam2img, index, looks)
        run.add(
            frame,
            motion,
            images,
            [look.matches for look in found],
            Views(looker.cam2img, (rig2cam @ motion)[None], looker.image_size),
            solver,
        )
        if state is not None:
            run.save(state)
        progress(run.done)
    if not run.done:
        raise ValueError('There is no frame to calibrate by.')
    if index + 1 < run.done:
        raise ValueError(f'{state} is of {run.done} frames, but only {index + 1} are given.')
    result = _result(run, rig2cam, cam2img, names, solver, thresholds, adjust, false_alarms, shared)
    if result.estimate.verdict != 'ok':
        result.estimate.reasons += looker.input_warnings()
    return result


class _Run:
    """What is kept of the frames that are done: matches, and ``arrays`` of what goes with them."""

    def __init__(self, kept: KeptMatches, settings: dict) -> None:
        self.kept = kept
        self.settings = settings
        self.arrays: dict[str, np.ndarray] = {}
        self.last_stamp: float | None = None

    @property
    def done(self) -> int:
        return len(self.arrays['motion']) if self.arrays else 0

    def load(self, path: str | os.PathLike) -> None:
        arrays = self.kept.load(path, self.settings)
        number, cameras = len(arrays.get('names', ())), len(self.settings['cameras'])
        kept = self.kept.arrays
        try:
            for name, shape, kind in (
                ('names', (number,), str),
                ('motion', (number, cameras, 4, 4), float),
                ('motion_known', (number,), bool),
                ('look_poses', (number * self.settings['looks'], 4, 4), float),
                ('matched', (number, cameras), int),
                ('network_cam2img', (cameras, 3, 3), float),
                ('network_size', (2,), int),
                ('image_sizes', (cameras, 2), int),
            ):
                if name not in arrays:
                    raise ValueError(f'it lacks {name}')
                # A look that gives no pose has one of NaN.
                finite = kind is not str and name != 'look_poses'
                check_values(arrays[name], name, shape, np.dtype(kind), finite)
            for name, most in (('frame', number), ('camera', cameras)):
                if ((kept[name] < 0) | (kept[name] >= most)).any():
                    raise ValueError(f'it has matches of a {name} that is not there')
        except ValueError as error:
            raise ValueError(
                f'{path} is not a state of an earlier calibration of a rig: {error}'
            ) from error
        self.arrays = arrays

    def save(self, path: str | os.PathLike) -> None:
        self.kept.save(path, self.settings, **self.arrays)

    def check_order(self, index: int, frame: RigFrame) -> None:
        if frame.stamp is None:
            return
        if self.last_stamp is not None and frame.stamp <= self.last_stamp:
            raise ValueError(
                f'Frame {frame.name or index} has the stamp {frame.stamp}, which is not after the '
                f'{self.last_stamp} of the frame before it: frames must come in order of time.'
            )
        self.last_stamp = frame.stamp

    def check_known(self, index: int, frame: RigFrame, motion: np.ndarray) -> None:
        """Whether a frame is the one that the state was made from."""
        before = str(self.arrays['names'][index])
        if (
            frame.name != before
            or not np.allclose(motion, self.arrays['motion'][index])
            or (frame.motion is not None) != self.arrays['motion_known'][index]
        ):
            raise ValueError(
                f'Frame {frame.name or index} is not the frame {before or index} that the state '
                'was made from, or moves otherwise: it is of another drive. Remove the state, or '
                'give its drive.'
            )

    def check_sizes(self, images: Sequence[np.ndarray], where: str) -> None:
        if not self.arrays:
            return
        for camera, image, before in zip(
            self.settings['cameras'], images, self.arrays['image_sizes'].tolist()
        ):
            if list(image.shape[:2]) != before:
                raise ValueError(
                    f'The image of {camera} in frame {where} is of {image.shape[1]}x'
                    f'{image.shape[0]} pixels, those before it of {before[1]}x{before[0]}; the '
                    'intrinsics hold for one size.'
                )

    def add(
        self,
        frame: RigFrame,
        motion: np.ndarray,
        images: Sequence[np.ndarray],
        looks: list,
        views: Views,
        solver: RigSolver,
    ) -> None:
        """Keep the matches of a frame, and the pose of the rig that each look gives alone."""
        poses = []
        for matches in looks:
            found = views.solve(solver, RigMatches.join(matches))
            poses.append(found.lidar2rig if found.valid else np.full((4, 4), np.nan))
        joined = [
            tuple(np.concatenate(parts) for parts in zip(*(look[camera] for look in looks)))
            for camera in range(views.cameras)
        ]
        self.kept.add(self.done, joined)
        new = dict(
            motion=motion[None],
            motion_known=np.array([frame.motion is not None]),
            names=np.array([frame.name]),
            look_poses=np.stack(poses),
            matched=np.array([[len(points) for points, _ in joined]]),
        )
        if self.arrays:
            new = {key: np.concatenate([self.arrays[key], value]) for key, value in new.items()}
        self.arrays = dict(
            new,
            network_cam2img=views.cam2img,
            network_size=np.array(views.image_size),
            image_sizes=np.array([image.shape[:2] for image in images]),
        )


def _motion_of(frame: RigFrame, cameras: int, where: str) -> np.ndarray:
    """The motion (V, 4, 4) of a frame, checked; the identity where it is not known."""
    if frame.motion is None:
        return np.tile(np.eye(4), (cameras, 1, 1))
    motion = check_rigid(np.asarray(frame.motion), f'motion of frame {where}')
    if motion.shape != (cameras, 4, 4):
        raise ValueError(f'motion of frame {where} must be ({cameras}, 4, 4), got {motion.shape}.')
    return motion


def _check_centres(cam2img: np.ndarray, images: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Intrinsics whose principal point is off by a whole image are of another image."""
    for intrinsics, image, name in zip(cam2img, images, names):
        size = np.array(image.shape[1::-1])
        centre = intrinsics[:2, 2]
        if (np.abs(centre - size / 2) > size).any():
            raise ValueError(
                f'cam2img of {name} has its principal point at ({centre[0]:g}, {centre[1]:g}), '
                f'far outside its image of {size[0]}x{size[1]} pixels.'
            )


def _result(
    run: _Run,
    rig2cam: np.ndarray,
    cam2img: np.ndarray,
    names: list[str],
    solver: RigSolver,
    thresholds: Thresholds,
    adjust: RigPriors | None,
    false_alarms: float,
    shared: tuple[float, float],
) -> RigCalibration:
    arrays, number = run.arrays, len(names)
    views = Views(
        arrays['network_cam2img'],
        rig2cam @ arrays['motion'],
        tuple(arrays['network_size'].tolist()),
    )
    matches = run.kept.matches(number)
    poses = [None if np.isnan(pose).any() else pose for pose in arrays['look_poses']]
    estimate = estimate_rig(matches, views, poses, solver, thresholds)
    solved = np.isfinite(estimate.reproj_error)
    motions = find_moved_cameras(matches, views, solver, false_alarms, shared)
    moved = [name for name, motion in zip(names, motions) if motion.verdict == 'moved']
    if moved and estimate.verdict == 'ok':
        estimate.verdict = 'doubtful'
    if moved:
        verb = 'is' if len(moved) == 1 else 'are'
        estimate.reasons.append(f'{", ".join(moved)} {verb} not where the rest of the rig says')
    adjusted = None
    if adjust is not None and solved:
        adjusted = adjust_rig(matches, views, estimate.lidar2rig, solver, adjust)
    errors = solver.errors(matches, *views.flat(), estimate.lidar2rig)
    cameras = {}
    for i, name in enumerate(names):
        mine = matches.view % number == i
        own = motions[i].own
        inlier = mine & (errors <= solver.max_error) & solved
        scale = cam2img[i, 0, 0] / abs(views.cam2img[i, 0, 0])
        intrinsics, pose = cam2img[i].copy(), rig2cam[i] @ estimate.lidar2rig
        if adjusted is not None:
            pose = adjusted.lidar2cam[i]
            # The network may have seen an image that was resized more in one direction.
            sizes = np.diag(cam2img[i])[:2] / np.diag(views.cam2img[i])[:2]
            intrinsics[:2] += sizes[:, None] * (adjusted.cam2img[i] - views.cam2img[i])[:2]
        cameras[name] = RigCamera(
            lidar2cam=pose,
            own_lidar2cam=rig2cam[i] @ own.lidar2rig if own.valid else np.eye(4),
            motion=motions[i],
            num_matches=int(mine.sum()),
            num_inliers=int(inlier.sum()),
            reproj_error=scale * float(np.sqrt(np.mean(errors[inlier] ** 2)))
            if inlier.any()
            else float('inf'),
            num_empty=int((arrays['matched'][:, i] == 0).sum()),
            cam2img=intrinsics,
            image_size=tuple(arrays['image_sizes'][i].tolist()),
        )
    history = rig_history(run.kept, views, solver) if solved else []
    return RigCalibration(estimate, cameras, history, bool(arrays['motion_known'].all()), adjusted)


def _fingerprint(model: nn.Module) -> str:
    """A few digits that tell weights from others."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().float().numpy().tobytes())
    return digest.hexdigest()[:16]
