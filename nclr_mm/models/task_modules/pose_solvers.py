"""Robust camera poses from point-pixel matches that hold many wrong ones (perspective-n-point).

The solvers run on the CPU, on NumPy arrays, one camera at a time, and only at prediction.
Whatever the solver returns, a pose that is physically impossible is reported as failed: robust
solvers diverge now and then to translations of 1e15 m.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import cv2
import numpy as np
import poselib
from mmdet3d.registry import TASK_UTILS

# A pose has six unknowns and a match gives two equations; the fourth match settles which of the
# up to four solutions of three matches is meant.
MIN_MATCHES = 4


@dataclass
class PoseEstimate:
    """The pose of one camera, or the statement that there is none.

    Attributes:
        lidar2cam: (4, 4) float64, takes LiDAR points to the camera (metres); the identity where
            ``valid`` is False.
        inliers: (M,) bool, matches in front of the camera within the solver's ``max_error``; all
            False where ``valid`` is False.
        reproj_error: root mean square distance in pixels over the inliers; inf where invalid.
        valid: whether a pose was found.
    """

    lidar2cam: np.ndarray = field(default_factory=lambda: np.eye(4))
    inliers: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    reproj_error: float = float('inf')
    valid: bool = False


class PoseSolver(ABC):
    """Checks, normalisation and judgement that all solvers share.

    Pixels are normalised by the inverse of ``cam2img`` and handed to the solver as those of a
    camera with one positive focal length ``|fx|``, no skew and the principal point at the origin.
    So a mirrored image (fx < 0) needs no special case. The solver's own threshold is in pixels
    of the image as long as ``|fx|`` and ``|fy|`` are about equal; the inliers and the
    reprojection error of the result are counted with ``cam2img`` itself and are exact.

    Args:
        max_error: largest distance of an inlier, in pixels of the network input image.
        max_iterations: number of hypotheses tried at most.
        max_translation: largest length of the translation of ``lidar2cam`` in metres that is
            physically possible. `RigidPerturbation` shifts by at most 15 m along x and y, 21 m in
            all, and a camera sits within a few metres of the LiDAR.
        min_inliers: a pose with fewer inliers is no pose.
        min_in_front: least share of the matches that must lie in front of the camera.
    """

    def __init__(
        self,
        max_error: float,
        max_iterations: int,
        max_translation: float = 30.0,
        min_inliers: int = 10,
        min_in_front: float = 0.5,
    ) -> None:
        for name, value in (
            ('max_error', max_error),
            ('max_iterations', max_iterations),
            ('max_translation', max_translation),
        ):
            if not value > 0:
                raise ValueError(f'{type(self).__name__}: {name} must be positive, got {value}.')
        if min_inliers < MIN_MATCHES:
            raise ValueError(
                f'{type(self).__name__}: min_inliers must be at least {MIN_MATCHES}, '
                f'got {min_inliers}.'
            )
        if not 0 <= min_in_front <= 1:
            raise ValueError(
                f'{type(self).__name__}: min_in_front must lie in [0, 1], got {min_in_front}.'
            )
        self.max_error = float(max_error)
        self.max_iterations = int(max_iterations)
        self.max_translation = float(max_translation)
        self.min_inliers = int(min_inliers)
        self.min_in_front = float(min_in_front)

    def solve(
        self,
        points: np.ndarray,
        pixels: np.ndarray,
        cam2img: np.ndarray,
        image_size: tuple[int, int] | None = None,
    ) -> PoseEstimate:
        """Find the pose that most of the matches agree on.

        The result is the same whenever the input is the same.

        Args:
            points: (M, 3) LiDAR points in metres.
            pixels: (M, 2) pixels (u, v) of the network input image, point by point.
            cam2img: (3, 3) intrinsics of that image.
            image_size: (height, width); if given, matches whose pixel lies outside the image are
                left out.

        Returns:
            The pose. ``valid`` is False with too few usable matches (matches with NaN or infinity
            are left out), too few inliers, most points behind the camera, or a pose that is
            physically impossible.

        Raises:
            ValueError: if a shape is wrong or ``cam2img`` is not finite and invertible.
        """
        points = np.asarray(points, dtype=np.float64)
        pixels = np.asarray(pixels, dtype=np.float64)
        cam2img = np.asarray(cam2img, dtype=np.float64)
        check_matches(points, pixels, cam2img)
        failed = PoseEstimate(inliers=np.zeros(len(points), dtype=bool))

        usable = np.isfinite(points).all(axis=1) & np.isfinite(pixels).all(axis=1)
        if image_size is not None:
            height, width = image_size
            # Pixel centres are integers, so that the image reaches half a pixel further.
            usable &= (pixels >= -0.5).all(axis=1)
            usable &= (pixels < np.array([width, height]) - 0.5).all(axis=1)
        if usable.sum() < max(self.min_inliers, MIN_MATCHES):
            return failed

        normalised, focal = normalise_to_focal(pixels[usable], cam2img)
        pose = self._solve_normalised(np.ascontiguousarray(points[usable]), normalised, focal)
        if pose is None or not self._is_possible(pose):
            return failed

        cam = points[usable] @ pose[:3, :3].T + pose[:3, 3]
        in_front = cam[:, 2] > 0
        if in_front.mean() < self.min_in_front:
            return failed
        error = np.full(len(cam), np.inf)
        image = cam[in_front] @ cam2img.T
        error[in_front] = np.linalg.norm(
            image[:, :2] / image[:, 2:] - pixels[usable][in_front], axis=1
        )
        close = error <= self.max_error
        if close.sum() < self.min_inliers:
            return failed
        inliers = np.zeros(len(points), dtype=bool)
        inliers[np.flatnonzero(usable)[close]] = True
        rms = float(np.sqrt(np.mean(error[close] ** 2)))
        return PoseEstimate(pose, inliers, rms, True)

    @abstractmethod
    def _solve_normalised(
        self, points: np.ndarray, pixels: np.ndarray, focal: float
    ) -> np.ndarray | None:
        """Solve for a camera with one focal length and the principal point at the origin.

        Args:
            points: (M, 3) in metres. pixels: (M, 2). focal: in pixels.

        Returns:
            (4, 4) lidar2cam, or None where the solver found nothing.
        """

    def _is_possible(self, pose: np.ndarray) -> bool:
        return is_pose(pose) and np.linalg.norm(pose[:3, 3]) <= self.max_translation


@TASK_UTILS.register_module()
class PoseLibSolver(PoseSolver):
    """PoseLib's LO-RANSAC on minimal P3P, refined by a robust bundle adjustment.

    Source: https://github.com/PoseLib/PoseLib (BSD-3).

    Args:
        max_error: see :class:`PoseSolver`; 8 px was best on small network input images.
        max_iterations: number of hypotheses tried at most.
        min_iterations: number of hypotheses tried at least.
        loss: robust loss of the refinement: 'CAUCHY', 'HUBER', 'TRUNCATED' or 'TRIVIAL'.
        loss_scale: scale of that loss in pixels; by default half of ``max_error``, which gave the
            least error on synthetic matches with the noise of a stride-4 map and heavy tails.
        seed: seed of the random choice of hypotheses.
        kwargs: further arguments of :class:`PoseSolver`.
    """

    LOSSES = ('CAUCHY', 'HUBER', 'TRIVIAL', 'TRUNCATED')

    def __init__(
        self,
        max_error: float = 8.0,
        max_iterations: int = 10000,
        min_iterations: int = 1000,
        loss: str = 'CAUCHY',
        loss_scale: float | None = None,
        seed: int = 0,
        **kwargs,
    ) -> None:
        super().__init__(max_error=max_error, max_iterations=max_iterations, **kwargs)
        if loss not in self.LOSSES:
            raise ValueError(f'PoseLibSolver: loss must be one of {self.LOSSES}, got {loss!r}.')
        loss_scale = self.max_error / 2 if loss_scale is None else loss_scale
        if not loss_scale > 0:
            raise ValueError(f'PoseLibSolver: loss_scale must be positive, got {loss_scale}.')
        if not 0 < min_iterations <= max_iterations:
            raise ValueError(
                'PoseLibSolver: min_iterations must lie between 1 and max_iterations '
                f'({max_iterations}), got {min_iterations}.'
            )
        self.ransac_options = dict(
            max_reproj_error=self.max_error,
            max_iterations=self.max_iterations,
            min_iterations=int(min_iterations),
            seed=int(seed),
        )
        self.bundle_options = dict(loss_type=loss, loss_scale=float(loss_scale))

    def _solve_normalised(
        self, points: np.ndarray, pixels: np.ndarray, focal: float
    ) -> np.ndarray | None:
        pose, _ = poselib.estimate_absolute_pose(
            pixels, points, camera_dict(focal), self.ransac_options, self.bundle_options
        )
        return pose_matrix(pose.R, pose.t)


@TASK_UTILS.register_module()
class OpenCVSolver(PoseSolver):
    """OpenCV's RANSAC with EPnP, refined on the inliers by Levenberg-Marquardt.

    OpenCV seeds its RANSAC with a constant at each call, so that it needs no seed.

    Args:
        max_error: see :class:`PoseSolver`.
        max_iterations: number of hypotheses tried at most.
        confidence: wanted probability that a hypothesis without outliers was tried.
        kwargs: further arguments of :class:`PoseSolver`.
    """

    def __init__(
        self,
        max_error: float = 4.0,
        max_iterations: int = 3000,
        confidence: float = 0.9999,
        **kwargs,
    ) -> None:
        super().__init__(max_error=max_error, max_iterations=max_iterations, **kwargs)
        if not 0 < confidence < 1:
            raise ValueError(f'OpenCVSolver: confidence must lie in (0, 1), got {confidence}.')
        self.confidence = float(confidence)

    def _solve_normalised(
        self, points: np.ndarray, pixels: np.ndarray, focal: float
    ) -> np.ndarray | None:
        intrinsics = np.diag([focal, focal, 1.0])
        try:
            found, rotation, translation, inliers = cv2.solvePnPRansac(
                points,
                pixels,
                intrinsics,
                None,
                iterationsCount=self.max_iterations,
                reprojectionError=self.max_error,
                confidence=self.confidence,
                flags=cv2.SOLVEPNP_EPNP,
            )
            if not found or inliers is None or len(inliers) < MIN_MATCHES:
                return None
            chosen = inliers.ravel()
            rotation, translation = cv2.solvePnPRefineLM(
                points[chosen], pixels[chosen], intrinsics, None, rotation, translation
            )
        except cv2.error:
            # OpenCV raises on some degenerate problems (coinciding or collinear points): no pose.
            return None
        return pose_matrix(cv2.Rodrigues(rotation)[0], translation.ravel())


def refine_pose(
    points: np.ndarray,
    pixels: np.ndarray,
    cam2img: np.ndarray,
    lidar2cam: np.ndarray,
    loss_scale: float,
) -> np.ndarray:
    """Minimise the reprojection errors of matches, with a Cauchy loss, from a pose nearby.

    Args:
        points: (M, 3) LiDAR points in metres, M at least 4.
        pixels: (M, 2) pixels (u, v).
        cam2img: (3, 3) intrinsics.
        lidar2cam: (4, 4) pose to begin with.
        loss_scale: error in pixels from which on a match counts less and less.

    Returns:
        (4, 4) the refined pose.
    """
    points, pixels = (np.ascontiguousarray(x, dtype=np.float64) for x in (points, pixels))
    normalised, focal = normalise_to_focal(pixels, cam2img)
    start = poselib_pose(lidar2cam)
    bundle_options = dict(loss_type='CAUCHY', loss_scale=float(loss_scale))
    pose, _ = poselib.refine_absolute_pose(
        normalised, points, start, camera_dict(focal), bundle_options
    )
    return pose_matrix(pose.R, pose.t)


def is_pose(pose: np.ndarray) -> bool:
    """Whether a (4, 4) matrix is a finite rigid motion."""
    if not np.isfinite(pose).all():
        return False
    rotation = pose[:3, :3]
    return bool(
        np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6) and np.linalg.det(rotation) > 0
    )


def camera_dict(focal: float) -> dict:
    """PoseLib's camera with one focal length and the principal point at the origin."""
    return dict(model='SIMPLE_PINHOLE', width=0, height=0, params=[focal, 0.0, 0.0])


def normalise_to_focal(pixels: np.ndarray, cam2img: np.ndarray) -> tuple[np.ndarray, float]:
    """Pixels of a camera with one focal length, which is returned too, and no principal point."""
    focal = abs(cam2img[0, 0])
    rays = np.linalg.solve(cam2img, _homogeneous(pixels).T).T
    return np.ascontiguousarray(focal * rays[:, :2] / rays[:, 2:]), focal


def check_matches(points: np.ndarray, pixels: np.ndarray, cam2img: np.ndarray) -> None:
    """Raise ValueError unless points (M, 3), pixels (M, 2) and cam2img (3, 3) fit each other."""
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f'points must have the shape (M, 3), got {points.shape}.')
    if pixels.shape != (len(points), 2):
        raise ValueError(f'pixels must have the shape ({len(points)}, 2), got {pixels.shape}.')
    if cam2img.shape != (3, 3):
        raise ValueError(f'cam2img must have the shape (3, 3), got {cam2img.shape}.')
    if not np.isfinite(cam2img).all() or np.linalg.det(cam2img) == 0:
        raise ValueError(f'cam2img must be finite and invertible, got {cam2img.tolist()}.')


def _homogeneous(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1)


def poselib_pose(matrix: np.ndarray) -> poselib.CameraPose:
    """PoseLib's form of a (4, 4) pose."""
    pose = poselib.CameraPose()
    pose.R, pose.t = matrix[:3, :3], matrix[:3, 3]
    return pose


def pose_matrix(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """(4, 4) of a rotation (3, 3) and a translation (3,)."""
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = translation
    return pose
