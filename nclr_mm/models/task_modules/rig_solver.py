"""The pose of a rig of cameras whose relative poses are known, from the matches of all of them.

One rigid motion, LiDAR to rig, explains the matches of every camera (and of every frame): six
unknowns, where cameras on their own have six each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import poselib
from mmdet3d.registry import TASK_UTILS
from scipy.spatial.transform import Rotation

from .pose_solvers import (
    MIN_MATCHES,
    camera_dict,
    check_matches,
    is_pose,
    normalise_to_focal,
    pose_matrix,
    poselib_pose,
)

__all__ = [
    'RigMatches',
    'RigPose',
    'RigSolver',
    'exp_motion',
    'image_pieces',
    'log_motion',
    'pose_jacobian',
    'robust_covariance',
]

# Matches farther than so many times the inliers' limit count for nothing in the refinement.
NEAR = 2


@dataclass
class RigMatches:
    """Matches of several views; a view is one image of one camera.

    Attributes:
        points: (M, 3) LiDAR points in metres.
        pixels: (M, 2) pixels (u, v), as ``cam2img`` of the view has them.
        view: (M,) int, the view of each match.
    """

    points: np.ndarray
    pixels: np.ndarray
    view: np.ndarray

    @classmethod
    def join(cls, views: Sequence[tuple[np.ndarray, np.ndarray]]) -> RigMatches:
        """Join points (M_i, 3) and pixels (M_i, 2) of each view, which may be empty."""
        return cls(
            np.concatenate([np.zeros((0, 3)), *(points for points, _ in views)]),
            np.concatenate([np.zeros((0, 2)), *(pixels for _, pixels in views)]),
            np.repeat(np.arange(len(views)), [len(points) for points, _ in views]),
        )

    def __getitem__(self, chosen: np.ndarray) -> RigMatches:
        return RigMatches(self.points[chosen], self.pixels[chosen], self.view[chosen])

    def __len__(self) -> int:
        return len(self.points)


@dataclass
class RigPose:
    """The pose of a rig, or the statement that there is none.

    Attributes:
        lidar2rig: (4, 4) float64, takes LiDAR points to the rig's frame (metres); the identity
            where ``valid`` is False.
        covariance: (6, 6) of a small motion xi = (rotation vector in radians, translation in
            metres) in the LiDAR's frame, ``lidar2rig Exp(xi)``; infinite where there are too few
            matches to tell.
        groups: how many groups of dependent matches the covariance is estimated from.
        inliers: (M,) bool, matches in front of their camera within the solver's ``max_error``.
        reproj_error: root mean square distance in pixels over the inliers; inf where invalid.
        valid: whether a pose was found.
    """

    lidar2rig: np.ndarray = field(default_factory=lambda: np.eye(4))
    covariance: np.ndarray = field(default_factory=lambda: np.full((6, 6), np.inf))
    groups: int = 0
    inliers: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    reproj_error: float = float('inf')
    valid: bool = False


@TASK_UTILS.register_module()
class RigSolver:
    """PoseLib's generalised absolute pose (LO-RANSAC on gP3P), refined with a robust loss.

    Source: https://github.com/PoseLib/PoseLib (BSD-3); the minimal solver is that of Kukelova et
    al., "Efficient intersection of three quadrics and applications in computer vision", CVPR 2016.
    Hypotheses are drawn from at most ``max_ransac_matches`` of the matches, so that the time hardly
    grows with the number of frames; the refinement sees all matches near the pose.

    Args:
        max_error: largest distance of an inlier in pixels of the network input image.
        max_iterations, min_iterations: number of hypotheses tried.
        loss_scale: scale of the Cauchy loss in pixels; by default half of ``max_error``.
        max_translation: largest length in metres of the translation of a camera's ``lidar2cam``
            that is physically possible, as in :class:`PoseSolver`.
        min_inliers: a pose with fewer inliers is no pose.
        min_in_front: least share of the matches that must lie in front of their camera.
        max_ransac_matches: see above.
        inflation: factor on the covariance, fitted on validation data (``tools/evaluate_rig.py``);
            None, where it has not been fitted, leaves it as the matches have it, which was too
            small wherever it was measured (docs/results.md).
        pieces: parts (down, across) that an image is cut into for the covariance: errors of
            matches in one part are taken for alike, those in different parts for independent. A
            camera alone in one frame has no more observations than parts.
        seed: of the random choices.
    """

    def __init__(
        self,
        max_error: float = 8.0,
        max_iterations: int = 10000,
        min_iterations: int = 1000,
        loss_scale: float | None = None,
        max_translation: float = 30.0,
        min_inliers: int = 10,
        min_in_front: float = 0.5,
        max_ransac_matches: int = 6000,
        inflation: float | None = None,
        pieces: tuple[int, int] = (4, 6),
        seed: int = 0,
    ) -> None:
        loss_scale = max_error / 2 if loss_scale is None else loss_scale
        for name, value in (
            ('max_error', max_error),
            ('loss_scale', loss_scale),
            ('max_translation', max_translation),
            ('inflation', 1 if inflation is None else inflation),
        ):
            if not value > 0:
                raise ValueError(f'RigSolver: {name} must be positive, got {value}.')
        if not 0 < min_iterations <= max_iterations:
            raise ValueError(
                'RigSolver: min_iterations must lie between 1 and max_iterations '
                f'({max_iterations}), got {min_iterations}.'
            )
        for name, value in (
            ('min_inliers', min_inliers),
            ('max_ransac_matches', max_ransac_matches),
        ):
            if value < MIN_MATCHES:
                raise ValueError(f'RigSolver: {name} must be at least {MIN_MATCHES}, got {value}.')
        if min(pieces) < 1:
            raise ValueError(f'RigSolver: pieces must be at least 1 each, got {pieces}.')
        if not 0 <= min_in_front <= 1:
            raise ValueError(f'RigSolver: min_in_front must lie in [0, 1], got {min_in_front}.')
        self.max_error = float(max_error)
        self.loss_scale = float(loss_scale)
        self.max_translation = float(max_translation)
        self.min_inliers = int(min_inliers)
        self.min_in_front = float(min_in_front)
        self.max_ransac_matches = int(max_ransac_matches)
        self.inflation = None if inflation is None else float(inflation)
        self.pieces = int(pieces[0]), int(pieces[1])
        self.seed = int(seed)
        self.ransac_options = dict(
            max_reproj_error=self.max_error,
            max_iterations=int(max_iterations),
            min_iterations=int(min_iterations),
            seed=self.seed,
        )
        self.bundle_options = dict(loss_type='CAUCHY', loss_scale=self.loss_scale)

    def solve(
        self,
        matches: RigMatches,
        cam2img: np.ndarray,
        rig2cam: np.ndarray,
        image_size: tuple[int, int] | None = None,
        camera: np.ndarray | None = None,
        start: np.ndarray | None = None,
    ) -> RigPose:
        """Find the pose that most matches of all views agree on, or the one next to ``start``.

        The result is the same whenever the input is the same.

        Args:
            matches: of W views; pixels are those of the network input image.
            cam2img: (W, 3, 3) intrinsics of each view.
            rig2cam: (W, 4, 4) takes the rig's frame to the camera of each view (metres); the rig's
                frame is any frame that is fixed to the vehicle.
            image_size: (height, width) of the images; if given, matches outside are left out, and
                matches in the same part of an image are taken for dependent in the covariance.
            camera: (W,) int, the camera of each view, by default each its own: what a network is
                off in one part of a camera's image, it is off there in neighbouring frames too, so
                that frames add certainty only where these errors differ.
            start: (4, 4) ``lidar2rig`` to begin at, instead of the best of many hypotheses.

        Raises:
            ValueError: if a shape is wrong or a matrix is not finite, invertible or rigid.
        """
        points = np.asarray(matches.points, dtype=np.float64)
        pixels = np.asarray(matches.pixels, dtype=np.float64)
        cam2img = np.asarray(cam2img, dtype=np.float64)
        rig2cam = np.asarray(rig2cam, dtype=np.float64)
        view = np.asarray(matches.view)
        self._check(points, pixels, view, cam2img, rig2cam)
        failed = RigPose(inliers=np.zeros(len(points), dtype=bool))
        usable = np.isfinite(points).all(axis=1) & np.isfinite(pixels).all(axis=1)
        if image_size is not None:
            usable &= (pixels >= -0.5).all(axis=1)
            usable &= (pixels < np.array(image_size[::-1]) - 0.5).all(axis=1)
        if usable.sum() < max(self.min_inliers, MIN_MATCHES):
            return failed
        used = RigMatches(points[usable], pixels[usable], view[usable])

        pose = self._hypothesis(used, cam2img, rig2cam) if start is None else start
        if pose is None or not self._is_possible(pose, rig2cam):
            return failed
        errors = self.errors(used, cam2img, rig2cam, pose)
        if np.isfinite(errors).mean() < self.min_in_front:
            return failed
        pose = self.refine(used, cam2img, rig2cam, pose)
        errors = self.errors(used, cam2img, rig2cam, pose)
        close = errors <= self.max_error
        if not self._is_possible(pose, rig2cam) or close.sum() < self.min_inliers:
            return failed
        inliers = np.zeros(len(points), dtype=bool)
        inliers[np.flatnonzero(usable)[close]] = True
        rms = float(np.sqrt(np.mean(errors[close] ** 2)))
        covariance, groups = self.covariance(used, cam2img, rig2cam, pose, image_size, camera)
        return RigPose(pose, covariance, groups, inliers, rms, True)

    def refine(
        self, matches: RigMatches, cam2img: np.ndarray, rig2cam: np.ndarray, pose: np.ndarray
    ) -> np.ndarray:
        """Minimise the Cauchy loss of all matches near the pose; (4, 4) ``lidar2rig``."""
        near = self.errors(matches, cam2img, rig2cam, pose) < NEAR * self.max_error
        if near.sum() < MIN_MATCHES:
            return pose
        start = poselib_pose(pose)
        pixels, points, extrinsics, cameras = _grouped(matches[near], cam2img, rig2cam)
        refined, _ = poselib.refine_generalized_absolute_pose(
            pixels, points, start, extrinsics, cameras, self.bundle_options
        )
        return pose_matrix(refined.R, refined.t)

    def covariance(
        self,
        matches: RigMatches,
        cam2img: np.ndarray,
        rig2cam: np.ndarray,
        pose: np.ndarray,
        image_size: tuple[int, int] | None = None,
        camera: np.ndarray | None = None,
    ) -> tuple[np.ndarray, int]:
        """(6, 6) covariance of a refined pose, see :func:`robust_covariance`, and its groups."""
        near = self.errors(matches, cam2img, rig2cam, pose) < NEAR * self.max_error
        matches = matches[near]
        group = np.arange(len(matches))
        if image_size is not None:
            images = matches.view if camera is None else np.asarray(camera)[matches.view]
            group = image_pieces(matches.pixels, images, image_size, self.pieces)
        residual, jacobian = _linearised(matches, cam2img, rig2cam, pose)
        covariance = robust_covariance(residual, jacobian, self.loss_scale, group)
        return (self.inflation or 1.0) * covariance, len(np.unique(group))

    @staticmethod
    def errors(
        matches: RigMatches, cam2img: np.ndarray, rig2cam: np.ndarray, pose: np.ndarray
    ) -> np.ndarray:
        """Distance (M,) in pixels from where the pose projects each match; inf behind a camera."""
        pixel, depth, _ = _projected(matches, cam2img, rig2cam, pose)
        error = np.linalg.norm(pixel - matches.pixels, axis=1)
        return np.where(depth > 0, error, np.inf)

    def _hypothesis(
        self, matches: RigMatches, cam2img: np.ndarray, rig2cam: np.ndarray
    ) -> np.ndarray | None:
        if len(matches) > self.max_ransac_matches:
            rng = np.random.default_rng(self.seed)
            matches = matches[rng.permutation(len(matches))[: self.max_ransac_matches]]
        pixels, points, extrinsics, cameras = _grouped(matches, cam2img, rig2cam)
        if len(cameras) == 1:  # gP3P is degenerate where all rays meet in one point
            found, _ = poselib.estimate_absolute_pose(
                pixels[0], points[0], cameras[0], self.ransac_options, self.bundle_options
            )
            rig2cam_used = pose_matrix(extrinsics[0].R, extrinsics[0].t)
            return np.linalg.inv(rig2cam_used) @ pose_matrix(found.R, found.t)
        found, _ = poselib.estimate_generalized_absolute_pose(
            pixels, points, extrinsics, cameras, self.ransac_options, self.bundle_options
        )
        return pose_matrix(found.R, found.t)

    def _is_possible(self, pose: np.ndarray, rig2cam: np.ndarray) -> bool:
        if not is_pose(pose):
            return False
        return bool(
            np.linalg.norm((rig2cam @ pose)[:, :3, 3], axis=1).max() <= self.max_translation
        )

    @staticmethod
    def _check(points, pixels, view, cam2img, rig2cam) -> None:
        number = len(cam2img)
        known = view.shape == (len(points),) and (view >= 0).all() and (view < number).all()
        if not known:
            raise ValueError(
                f'view must name one of {number} views for each of {len(points)} matches.'
            )
        if rig2cam.shape != (number, 4, 4):
            raise ValueError(f'rig2cam must have the shape ({number}, 4, 4), got {rig2cam.shape}.')
        for index, pose in enumerate(rig2cam):
            check_matches(points[view == index], pixels[view == index], cam2img[index])
            if not is_pose(pose):
                raise ValueError(f'rig2cam of view {index} is not a rigid motion: {pose.tolist()}.')


def exp_motion(motion: np.ndarray) -> np.ndarray:
    """(4, 4) motion of xi = (rotation vector in radians, translation in metres), (6,).

    The two are applied side by side, ``[R(w) | v]``: to first order this is the exponential of
    SE(3), and it is the inverse of :func:`log_motion` exactly.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(motion[:3]).as_matrix()
    matrix[:3, 3] = motion[3:]
    return matrix


def log_motion(matrix: np.ndarray) -> np.ndarray:
    """xi (6,) of a (4, 4) motion; the inverse of :func:`exp_motion`."""
    return np.concatenate([Rotation.from_matrix(matrix[:3, :3]).as_rotvec(), matrix[:3, 3]])


def image_pieces(
    pixels: np.ndarray,
    view: np.ndarray,
    image_size: tuple[int, int],
    pieces: tuple[int, int],
) -> np.ndarray:
    """Number the part of the image (M,) that each match lies in: errors of neighbours are alike.

    Args:
        pixels: (M, 2). view: (M,).
        image_size: (height, width).
        pieces: into how many an image is cut, (down, across).
    """
    height, width = image_size
    column = np.clip(pixels[:, 0] / width * pieces[1], 0, pieces[1] - 1).astype(int)
    row = np.clip(pixels[:, 1] / height * pieces[0], 0, pieces[0] - 1).astype(int)
    return (view * pieces[0] + row) * pieces[1] + column


def pose_jacobian(points: np.ndarray, lidar2cam: np.ndarray, cam2img: np.ndarray) -> np.ndarray:
    """Derivative (M, 2, 6) of the projections by xi of ``lidar2cam Exp(xi)``, at xi = 0.

    Args:
        points: (M, 3) LiDAR points in metres.
        lidar2cam: (M, 4, 4) or (4, 4).
        cam2img: (M, 3, 3) or (3, 3).
    """
    rotation = lidar2cam[..., :3, :3]
    cam = np.einsum('...ij,...j->...i', rotation, points) + lidar2cam[..., :3, 3]
    image = np.einsum('...ij,...j->...i', np.broadcast_to(cam2img, (len(points), 3, 3)), cam)
    depth = image[:, 2:]
    # of u = x / z and v = y / z by the image's homogeneous coordinates
    by_image = np.zeros((len(points), 2, 3))
    by_image[:, 0, 0] = by_image[:, 1, 1] = 1 / depth[:, 0]
    by_image[:, :, 2] = -image[:, :2] / depth**2
    by_point = by_image @ cam2img @ rotation
    # Exp(xi) p = p + w x p + v, and w x p = -[p]x w
    cross = np.zeros((len(points), 3, 3))
    x, y, z = points.T
    cross[:, 0, 1], cross[:, 0, 2] = -z, y
    cross[:, 1, 0], cross[:, 1, 2] = z, -x
    cross[:, 2, 0], cross[:, 2, 1] = -y, x
    return np.concatenate([-by_point @ cross, by_point], axis=-1)


def robust_covariance(
    residual: np.ndarray, jacobian: np.ndarray, scale: float, group: np.ndarray
) -> np.ndarray:
    """Covariance of the minimum of a Cauchy loss, from its own residuals.

    The delete-one-group jackknife for groups of dependent residuals, linearised: leaving out group
    g moves the minimum by ``d_g = (H - H_g)^-1 s_g``, where H is the loss's second derivative and s
    its first, and the covariance is ``(G - 1) / G sum(d_g d_g^T)`` for G groups (MacKinnon, Nielsen
    and Webb, "Fast and reliable jackknife and bootstrap methods for cluster-robust inference",
    Journal of Applied Econometrics 38, 2023, there CV3). It needs no noise level and holds for
    heavy tails. As it is estimated itself, from n = G - 1 degrees of freedom, squared distances
    measured by it are distributed as Hotelling's T^2, with the mean n P / (n - P - 1), not as
    chi^2 with the mean P (Hotelling, Annals of Mathematical Statistics 2, 1931); the factor
    n / (n - P - 1) makes the means equal. Errors that all groups share are not in it.

    Args:
        residual: (M, 2) in pixels.
        jacobian: (M, 2, P) of the residuals by the parameters.
        scale: c of the loss c^2 log(1 + |r|^2 / c^2).
        group: (M,) int.

    Returns:
        (P, P); infinite with fewer than P + 3 groups, or where the residuals
        without one of the groups leave a parameter undetermined.
    """
    number = jacobian.shape[-1]
    unknown = np.full((number, number), np.inf)
    labels, index = np.unique(group, return_inverse=True)
    freedom = len(labels) - 1
    if freedom - number - 1 <= 0:
        return unknown
    weight = 1 / (1 + (residual**2).sum(axis=1) / scale**2)
    gradient = np.einsum('mij,mi->mj', jacobian, residual)

    def of_groups(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(labels), *values.shape[1:]))
        np.add.at(sums, index, values)
        return sums

    score = of_groups(weight[:, None] * gradient)
    normal = of_groups(np.einsum('m,mij,mik->mjk', weight, jacobian, jacobian))
    # The loss is not convex: its second derivative is less than that of least squares, which
    # stands in for it where it is not positive.
    bend = of_groups(np.einsum('m,mj,mk->mjk', weight**2, gradient, gradient)) * 2 / scale**2
    # Metres and radians differ in size; the test for rank must not.
    size = np.sqrt(np.diag(normal.sum(axis=0)))
    if not (size > 0).all():
        return unknown
    for curvature in (normal - bend, normal):
        rest = curvature.sum(axis=0) - curvature
        values = np.linalg.eigvalsh(rest / np.outer(size, size))
        if (values[:, 0] > 1e-9 * values[:, -1]).all():
            moves = np.linalg.solve(rest, score[..., None])[..., 0]
            factor = freedom / len(labels) * freedom / (freedom - number - 1)
            return factor * moves.T @ moves
    return unknown


def _projected(
    matches: RigMatches, cam2img: np.ndarray, rig2cam: np.ndarray, pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (M, 2), depths (M,) and ``lidar2cam`` (M, 4, 4) of the matches' views."""
    lidar2cam = (rig2cam @ pose)[matches.view]
    cam = np.einsum('mij,mj->mi', lidar2cam[:, :3, :3], matches.points) + lidar2cam[:, :3, 3]
    image = np.einsum('mij,mj->mi', cam2img[matches.view], cam)
    with np.errstate(divide='ignore', invalid='ignore'):
        return image[:, :2] / image[:, 2:], cam[:, 2], lidar2cam


def _linearised(
    matches: RigMatches, cam2img: np.ndarray, rig2cam: np.ndarray, pose: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (M, 2) of the projections and their derivatives (M, 2, 6) by xi."""
    pixel, _, lidar2cam = _projected(matches, cam2img, rig2cam, pose)
    return pixel - matches.pixels, pose_jacobian(matches.points, lidar2cam, cam2img[matches.view])


def _grouped(
    matches: RigMatches, cam2img: np.ndarray, rig2cam: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray], list[poselib.CameraPose], list[dict]]:
    """What PoseLib takes: of each view that has matches pixels, points, extrinsics and camera."""
    pixels, points, extrinsics, cameras = [], [], [], []
    order = np.argsort(matches.view, kind='stable')
    starts = np.searchsorted(matches.view[order], np.arange(len(cam2img) + 1))
    for view, (start, end) in enumerate(pairwise(starts)):
        if start == end:
            continue
        chosen = order[start:end]
        normalised, focal = normalise_to_focal(matches.pixels[chosen], cam2img[view])
        pixels.append(normalised)
        points.append(np.ascontiguousarray(matches.points[chosen]))
        extrinsics.append(poselib_pose(rig2cam[view]))
        cameras.append(camera_dict(focal))
    return pixels, points, extrinsics, cameras
