"""Adjustment of every camera of a rig, and of its lens, to the matches of many frames.

What is known beforehand enters as priors with a stated strength: without them each camera would be
on its own, with infinitely strong ones the rig would be rigid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from nclr_mm.models.task_modules import (
    RigMatches,
    RigSolver,
    exp_motion,
    image_pieces,
    pose_jacobian,
    robust_covariance,
)

from .rig import Views

__all__ = ['AdjustedRig', 'RigPriors', 'adjust_rig']


@dataclass(frozen=True)
class RigPriors:
    """How well the rig is known before: standard deviations.

    Attributes:
        rotation, translation: of each camera about and along each axis of its own frame, degrees
            and metres. What the whole rig does is free.
        focal: of the focal length as a share of it, or None, which leaves it as it is.
        principal: of the principal point in pixels of the image that the network saw, or None.
        noise: of a match in pixels, or None, which takes it from the matches: their spread, times
            the root of how many of them err alike.
    """

    rotation: float = 1.0
    translation: float = 0.1
    focal: float | None = None
    principal: float | None = None
    noise: float | None = None

    def __post_init__(self) -> None:
        for name in ('rotation', 'translation', 'focal', 'principal', 'noise'):
            value = getattr(self, name)
            if value is None and name not in ('rotation', 'translation'):
                continue
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f'RigPriors: {name} must be positive, got {value}.')


@dataclass
class AdjustedRig:
    """What :func:`adjust_rig` found.

    Attributes:
        lidar2rig: (4, 4) as far as the cameras agree on it.
        rig2cam: (V, 4, 4) each camera in the rig.
        cam2img: (V, 3, 3) of the images that the network saw.
        covariance: (V, 6, 6) of xi of each camera's ``lidar2cam Exp(xi)``, radians and metres.
        noise: of a match in pixels, as it was used.
        num_matches: (V,) of each camera that took part.
    """

    lidar2rig: np.ndarray
    rig2cam: np.ndarray
    cam2img: np.ndarray
    covariance: np.ndarray
    noise: float
    num_matches: np.ndarray

    @property
    def lidar2cam(self) -> np.ndarray:
        return self.rig2cam @ self.lidar2rig


def adjust_rig(
    matches: RigMatches,
    views: Views,
    lidar2rig: np.ndarray,
    solver: RigSolver,
    priors: RigPriors | None = None,
) -> AdjustedRig:
    """Minimise robust reprojection errors over the rig's pose, each camera's and its intrinsics.

    scipy's ``least_squares`` on a sparse system: six unknowns of the rig, and of each camera a
    motion of its own frame (six), and where asked for the logarithm of its focal length (fx and fy
    keep their ratio) and its principal point. Matches count with a Cauchy loss of the solver's
    scale a coordinate, priors quadratically.

    Args:
        matches: of all cameras and frames; those near ``lidar2rig`` take part.
        views: the images.
        lidar2rig: (4, 4) to begin with.
        solver: gives the loss's scale, and what is near.
        priors: by default those of :class:`RigPriors`.

    Raises:
        ValueError: if no match is near ``lidar2rig``.
    """
    priors = priors or RigPriors()
    number = views.cameras
    cam2img, rig2cam = views.flat()
    # A camera that has moved by as much as the priors allow puts its matches farther off.
    focal = np.abs(views.cam2img[:, 0, 0]).max()
    reach = 2 * solver.max_error + 3 * np.deg2rad(priors.rotation) * focal
    near = solver.errors(matches, cam2img, rig2cam, lidar2rig) < reach
    if not near.any():
        raise ValueError('No match is near the pose of the rig: there is nothing to adjust it by.')
    matches = matches[near]
    layout = _Layout(number, priors)
    camera = matches.view % number

    def parts(x: np.ndarray):
        """Rig's pose, of each match its camera's pose and intrinsics."""
        pose = lidar2rig @ exp_motion(x[:6])
        own, intrinsics = layout.cameras(x, views.cam2img)
        return own[camera] @ rig2cam[matches.view] @ pose, intrinsics[camera], own, intrinsics

    def errors(x: np.ndarray) -> np.ndarray:
        lidar2cam, intrinsics, _, _ = parts(x)
        return _project(matches.points, lidar2cam, intrinsics) - matches.pixels

    def jacobian(x: np.ndarray, noise: float) -> csr_matrix:
        return layout.jacobian(x, matches, camera, rig2cam, lidar2rig, views.cam2img, noise)

    count = 2 * len(matches)

    def information(x: np.ndarray, noise: float) -> np.ndarray:
        """Second derivative of the loss by the unknowns, with its robust weights."""
        robust = 1 / (1 + (errors(x).ravel() / solver.loss_scale) ** 2)
        weights = np.concatenate([robust, np.ones(len(layout.sigmas))])
        matrix = jacobian(x, noise)
        return (matrix.T @ matrix.multiply(weights[:, None])).toarray()

    def minimise(start: np.ndarray, noise: float) -> np.ndarray:
        scale = (solver.loss_scale / noise) ** 2

        def loss(squares: np.ndarray) -> np.ndarray:
            """Cauchy's for the matches; the priors' residuals count as they are."""
            rho = np.stack([squares, np.ones_like(squares), np.zeros_like(squares)])
            z = squares[:count] / scale
            rho[0, :count] = scale * np.log1p(z)
            rho[1, :count] = 1 / (1 + z)
            rho[2, :count] = -1 / (scale * (1 + z) ** 2)
            return rho

        # In unknowns that are uncorrelated at the start a few steps do: a turn of the rig and one
        # of all its cameras are nearly the same.
        to_unknowns = np.linalg.inv(np.linalg.cholesky(information(start, noise))).T

        def residuals(z: np.ndarray) -> np.ndarray:
            x = start + to_unknowns @ z
            return np.concatenate([errors(x).ravel() / noise, x[6:] / layout.sigmas])

        def by_unknowns(z: np.ndarray) -> LinearOperator:
            x = start + to_unknowns @ z
            return aslinearoperator(jacobian(x, noise)) @ aslinearoperator(to_unknowns)

        found = least_squares(
            residuals, np.zeros_like(start), jac=by_unknowns, loss=loss, tr_solver='lsmr'
        )
        return start + to_unknowns @ found.x

    found = np.zeros(6 + len(layout.sigmas))
    noise = priors.noise
    if noise is None:
        # Seen from a pose that is wrong for some cameras all their matches err alike.
        found = minimise(found, _spread(errors(found)))
        lidar2cam, intrinsics, _, _ = parts(found)
        by_pose = pose_jacobian(matches.points, lidar2cam, intrinsics)
        noise = _noise(errors(found), by_pose, matches, views, solver)
    found = minimise(found, noise)
    pose = lidar2rig @ exp_motion(found[:6])
    _, _, own, intrinsics = parts(found)
    covariance = np.linalg.inv(information(found, noise))  # of the maximum a posteriori
    adjusted = own @ views.rig2cam[0]
    return AdjustedRig(
        pose,
        adjusted,
        intrinsics,
        np.stack([layout.of_camera(covariance, i, adjusted[i] @ pose) for i in range(number)]),
        float(noise),
        np.bincount(camera, minlength=number),
    )


class _Layout:
    """Where the unknowns of each camera stand in the vector of all."""

    def __init__(self, cameras: int, priors: RigPriors) -> None:
        self.number = cameras
        self.focal, self.principal = priors.focal is not None, priors.principal is not None
        sigmas = [np.deg2rad(priors.rotation)] * 3 + [priors.translation] * 3
        if self.focal:
            sigmas += [priors.focal]
        if self.principal:
            sigmas += [priors.principal] * 2
        self.size = len(sigmas)
        self.sigmas = np.tile(np.array(sigmas, dtype=np.float64), cameras)

    def cameras(self, x: np.ndarray, cam2img: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Motions of the cameras' frames (V, 4, 4) and intrinsics (V, 3, 3)."""
        unknowns = x[6:].reshape(self.number, self.size)
        own = np.stack([exp_motion(row[:6]) for row in unknowns])
        intrinsics = cam2img.copy()
        if self.focal:
            intrinsics[:, :2, :2] *= np.exp(unknowns[:, 6])[:, None, None]
        if self.principal:
            intrinsics[:, :2, 2] += unknowns[:, -2:]
        return own, intrinsics

    def jacobian(
        self,
        x: np.ndarray,
        matches: RigMatches,
        camera: np.ndarray,
        rig2cam: np.ndarray,
        lidar2rig: np.ndarray,
        cam2img: np.ndarray,
        noise: float,
    ) -> csr_matrix:
        own, intrinsics = self.cameras(x, cam2img)
        intrinsics = intrinsics[camera]
        # exp_motion(x) moves [R(w) | v]; near x its derivative is that of a small motion of the
        # result: R(w + dw) = R(w) Exp(J(w) dw), and v moves by dv in the outer frame.
        pose = lidar2rig @ exp_motion(x[:6])
        lidar2cam = own[camera] @ rig2cam[matches.view] @ pose
        by_rig = pose_jacobian(matches.points, lidar2cam, intrinsics) @ _inner(x[:6])
        cam = np.einsum('mij,mj->mi', lidar2cam[:, :3, :3], matches.points) + lidar2cam[:, :3, 3]
        unknowns = x[6:].reshape(self.number, self.size)
        # cam = own q, and own = exp_motion(x): by x, as the rig's, at the point q before it
        before = np.linalg.inv(own)[camera]
        point = np.einsum('mij,mj->mi', before[:, :3, :3], cam) + before[:, :3, 3]
        inner = np.stack([_inner(row[:6]) for row in unknowns])
        blocks = [pose_jacobian(point, own[camera], intrinsics) @ inner[camera]]
        if self.focal or self.principal:
            pixel = np.einsum('mij,mj->mi', intrinsics, cam)
            pixel = pixel[:, :2] / pixel[:, 2:]
        if self.focal:
            blocks.append((pixel - intrinsics[:, :2, 2])[..., None])
        if self.principal:
            blocks.append(np.tile(np.eye(2), (len(camera), 1, 1)))
        by_camera = np.concatenate(blocks, axis=2)
        values = np.concatenate([by_rig, by_camera], axis=2).reshape(2 * len(camera), -1) / noise
        first = 6 + np.repeat(camera, 2)[:, None] * self.size + np.arange(self.size)
        columns = np.concatenate([np.tile(np.arange(6), (len(first), 1)), first], axis=1)
        rows = np.repeat(np.arange(len(first)), columns.shape[1])
        unknown = len(self.sigmas)
        data = np.concatenate([values.ravel(), 1 / self.sigmas])
        rows = np.concatenate([rows, len(first) + np.arange(unknown)])
        columns = np.concatenate([columns.ravel(), 6 + np.arange(unknown)])
        return csr_matrix((data, (rows, columns)), (len(first) + unknown, 6 + unknown))

    def of_camera(self, covariance: np.ndarray, camera: int, lidar2cam: np.ndarray) -> np.ndarray:
        """(6, 6) covariance of xi of a camera's ``lidar2cam Exp(xi)`` from that of all unknowns."""
        # A motion d of the camera's frame is Ad(lidar2cam^-1) d in the LiDAR's.
        rotation, shift = lidar2cam[:3, :3], lidar2cam[:3, 3]
        x, y, z = shift
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        adjoint = np.zeros((6, 6))
        adjoint[:3, :3] = adjoint[3:, 3:] = rotation.T
        adjoint[3:, :3] = -rotation.T @ cross
        start = 6 + camera * self.size
        chosen = np.r_[0:6, start : start + 6]
        both = np.concatenate([np.eye(6), adjoint], axis=1)
        return both @ covariance[np.ix_(chosen, chosen)] @ both.T


def _inner(motion: np.ndarray) -> np.ndarray:
    """(6, 6): exp_motion(x + dx) is exp_motion(x) Exp(_inner(x) dx) to first order.

    The rotation's part is the right Jacobian of SO(3) (Sola et al., "A micro Lie theory for state
    estimation in robotics", 2018, equation 143).
    """
    w = motion[:3]
    angle = np.linalg.norm(w)
    cross = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])
    right = np.eye(3) - cross / 2
    if angle > 1e-6:
        right = (
            np.eye(3)
            - (1 - np.cos(angle)) / angle**2 * cross
            + (angle - np.sin(angle)) / angle**3 * cross @ cross
        )
    result = np.zeros((6, 6))
    result[:3, :3] = right
    result[3:, 3:] = exp_motion(motion)[:3, :3].T
    return result


def _project(points: np.ndarray, lidar2cam: np.ndarray, cam2img: np.ndarray) -> np.ndarray:
    cam = np.einsum('mij,mj->mi', lidar2cam[:, :3, :3], points) + lidar2cam[:, :3, 3]
    image = np.einsum('mij,mj->mi', cam2img, cam)
    # A point that a step puts behind the camera must not become a good one.
    return image[:, :2] / np.maximum(image[:, 2:], 1e-3)


def _spread(errors: np.ndarray) -> float:
    """Standard deviation of a coordinate of most errors (M, 2), in pixels; 0.1 at least."""
    # 1.4826 times the median of absolute values is that of normal ones.
    return float(max(1.4826 * np.median(np.abs(errors - np.median(errors, axis=0))), 0.1))


def _noise(
    errors: np.ndarray, jacobian: np.ndarray, matches: RigMatches, views: Views, solver: RigSolver
) -> float:
    """Standard deviation of a match in pixels, as if matches were independent of each other."""
    pieces = image_pieces(
        matches.pixels, matches.view % views.cameras, views.image_size, solver.pieces
    )
    grouped, alone = (
        robust_covariance(errors, jacobian, solver.loss_scale, group)
        for group in (pieces, np.arange(len(matches)))
    )
    if not (np.isfinite(grouped).all() and np.isfinite(alone).all()):
        return _spread(errors)
    # Kish's design effect: how many of the matches count as one.
    effect = np.trace(np.linalg.solve(alone, grouped)) / 6
    return _spread(errors) * float(np.sqrt(max(effect, 1.0)))
