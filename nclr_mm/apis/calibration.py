"""Calibrating cameras against a LiDAR with a pretrained model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from nclr_mm.calibration import (
    DEFAULT_THRESHOLDS,
    Alignment,
    Estimate,
    Matches,
    Thresholds,
    align_edges,
    estimate_pose,
    evenly,
    pose_distance,
)
from nclr_mm.datasets.checks import check_intrinsics, check_rigid, read_image
from nclr_mm.datasets.scans import frame_fault, measured_points, read_scan
from nclr_mm.models.task_modules import RigSolver

from .looks import Looker

__all__ = ['CameraCalibration', 'calibrate']

# Edges of so many frames are aligned: more cost memory and gain little.
_ALIGNED_FRAMES = 10

Points = np.ndarray | str | os.PathLike
Image = np.ndarray | str | os.PathLike


@dataclass
class CameraCalibration(Estimate):
    """What :func:`calibrate` found for one camera: an :class:`Estimate` and more.

    Attributes:
        camera: its name.
        cam2img: (3, 3) its intrinsics, of the image as it was given.
        image_size: (height, width) of that image.
        initial: (4, 4) the pose that it was said to have, or None.
        num_frames: how many frames it is from.
        refinement: what :func:`nclr_mm.calibration.align_edges` made of the network's pose, or None
            where it was not asked for. Covariance, inliers and verdict remain those of the
            network's matches.
    """

    camera: str = ''
    cam2img: np.ndarray | None = None
    image_size: tuple[int, int] = (0, 0)
    initial: np.ndarray | None = None
    num_frames: int = 0
    refinement: Alignment | None = None

    @property
    def change(self) -> tuple[float, float] | None:
        """Angle (degrees) and distance (metres) from ``initial`` to the estimate, or None."""
        if self.initial is None or self.verdict == 'failed':
            return None
        return pose_distance(self.lidar2cam, self.initial)


def calibrate(
    model: nn.Module,
    points: Points | Sequence[Points],
    images: Sequence[Image] | Sequence[Sequence[Image]],
    cam2img: Sequence | np.ndarray,
    initial: Sequence | np.ndarray | None = None,
    cameras: Sequence[str] | None = None,
    looks: int = 8,
    intensity_scale: float = 1.0,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    refine: bool = False,
    seed: int = 0,
) -> dict[str, CameraCalibration]:
    """Find the pose of each camera from one frame or from several frames of the same rig.

    The network looks at each frame ``looks`` times, the points being moved each time by another
    motion of the kind that it was trained with (the first time not at all). All matches of all
    looks and frames are joined to one pose a camera.

    Args:
        model: a trained NCLR model of :func:`init_model`.
        points: (N, >= 4) x, y, z in metres and intensity, in the LiDAR's frame with z up; or the
            file of a scan (:func:`nclr_mm.datasets.read_scan`). Several frames: a list of these.
        images: V images, one a camera: uint8 BGR arrays (H, W, 3) as of ``cv2.imread``, or files;
            free of lens distortion, and taken when the scan was. Several frames: a list of F lists.
        cam2img: (V, 3, 3) intrinsics in pixels of these images.
        initial: (V, 4, 4) what ``lidar2cam`` is thought to be, in metres; only compared with.
        cameras: names of the cameras; by default ``'0'``, ``'1'``, ...
        looks: at each frame, at least 1.
        intensity_scale: factor that brings intensities to the unit of the data that the model was
            trained on.
        thresholds: of the verdict.
        refine: align depth edges with image edges after it (:func:`~nclr_mm.calibration.
            align_edges`) in up to ten of the frames, which uses no network; wants five or more.
        seed: of the motions; the same seed gives the same result.

    Returns:
        Name of a camera -> its calibration, whose ``lidar2cam`` (4, 4) takes points to the camera
        (x right, y down, z forward, metres).

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if an input does not fit, saying which.
    """
    if looks < 1:
        raise ValueError(f'looks must be at least 1, got {looks}.')
    frames = _frames(points, images)
    cam2img = check_intrinsics(np.asarray(cam2img), 'cam2img')
    number = len(frames[0][1])
    if cam2img.shape != (number, 3, 3):
        raise ValueError(
            f'cam2img must hold a 3x3 matrix for each of the {number} cameras, got the shape '
            f'{cam2img.shape}.'
        )
    names = camera_names(cameras, number)
    if initial is not None:
        initial = check_rigid(np.asarray(initial), 'initial')
        if initial.shape != (number, 4, 4):
            raise ValueError(
                f'initial must hold a 4x4 matrix for each of the {number} cameras, got the shape '
                f'{initial.shape}.'
            )

    looker = Looker(model, names, seed)
    image_sizes = None
    per_look, seen = [], []
    to_align = set(evenly(len(frames), _ALIGNED_FRAMES)) if refine else set()
    for index, (scan, pictures) in enumerate(frames):
        scan = given_points(scan, intensity_scale, f'The scan of frame {index}')
        pictures = [given_image(picture, str(index)) for picture in pictures]
        sizes = [picture.shape[:2] for picture in pictures]
        image_sizes = image_sizes or sizes
        if sizes != image_sizes:
            raise ValueError(
                f'The images of frame {index} are of {sizes} pixels (height, width), those of '
                f'frame 0 of {image_sizes}; the intrinsics hold for one size.'
            )
        per_look += looker.look(scan, pictures, cam2img, index, looks)
        if index in to_align:
            seen.append((scan, pictures))

    rig_solver = model.calib_head.rig_solver or RigSolver()
    result = {}
    for i, name in enumerate(names):
        estimate = estimate_pose(
            Matches.join([look.matches[i] for look in per_look]),
            [look.poses[i] for look in per_look],
            looker.cam2img[i],
            looker.image_size,
            model.calib_head.solver,
            rig_solver,
            thresholds,
        )
        if estimate.verdict != 'ok':
            estimate.reasons += looker.input_warnings()
        # The network saw a resized image.
        estimate.reproj_error *= cam2img[i, 0, 0] / abs(looker.cam2img[i, 0, 0])
        refinement = None
        if refine and estimate.verdict != 'failed':
            views = [(scan, pictures[i]) for scan, pictures in seen]
            refinement = align_edges(views, cam2img[i], estimate.lidar2cam)
            estimate.lidar2cam = refinement.correction @ estimate.lidar2cam
        result[name] = CameraCalibration(
            **vars(estimate),
            camera=name,
            cam2img=cam2img[i],
            image_size=image_sizes[i],
            initial=None if initial is None else initial[i],
            num_frames=len(frames),
            refinement=refinement,
        )
    return result


def camera_names(cameras: Sequence[str] | None, number: int) -> list[str]:
    """Names of so many cameras, ``'0'``, ``'1'``, ... where none are given; each its own."""
    names = [str(i) for i in range(number)] if cameras is None else [str(c) for c in cameras]
    if len(names) != number or len(set(names)) != number:
        raise ValueError(f'cameras must name the {number} cameras, each by its own name: {names}.')
    return names


def _frames(points, images) -> list[tuple[Points, list[Image]]]:
    """Frames of a scan and its images, whether one or several were given."""
    if isinstance(points, np.ndarray | str | os.PathLike):
        points, images = [points], [images]
    if not len(points) or len(points) != len(images):
        raise ValueError(
            f'There must be as many lists of images as scans, at least one; got {len(images)} and '
            f'{len(points)}.'
        )
    frames = []
    for index, (scan, pictures) in enumerate(zip(points, images)):
        if isinstance(pictures, str | os.PathLike) or not len(pictures):
            raise ValueError(f'images of frame {index} must be a list with an image a camera.')
        frames.append((scan, list(pictures)))
    numbers = sorted({len(pictures) for _, pictures in frames})
    if len(numbers) > 1:
        raise ValueError(f'Each frame must have the same number of images, got {numbers}.')
    return frames


def given_points(scan: Points, intensity_scale: float, name: str) -> np.ndarray:
    """Measured points (N, 4) of a scan or its file, checked; intensities scaled.

    Args:
        scan: (N, >= 4), or the file.
        intensity_scale: factor.
        name: what an error calls an array; a file is called by its path.
    """
    if not isinstance(scan, np.ndarray):
        scan, name = read_scan(scan), os.fspath(scan)
    elif scan.ndim != 2 or scan.shape[1] < 4:
        raise ValueError(f'{name} must be of the shape (N, >= 4), got {scan.shape}.')
    scan = measured_points(np.array(scan[:, :4], dtype=np.float64))
    if not len(scan):
        raise ValueError(f'{name} holds no point with finite coordinates.')
    if fault := frame_fault(scan):
        raise ValueError(f'{name}: {fault}.')
    scan[:, 3] *= intensity_scale
    return scan


def given_image(image: Image, frame: str) -> np.ndarray:
    """An image (H, W, 3) uint8 BGR, or its file, checked."""
    if not isinstance(image, np.ndarray):
        return read_image(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'An image of frame {frame} must be uint8 BGR of the shape (H, W, 3), got '
            f'{image.dtype} {image.shape}.'
        )
    return image
