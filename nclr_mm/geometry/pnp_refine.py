"""Newton's method on the weighted reprojection error of many poses at once."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ['Derivatives', 'derivatives', 'point_terms', 'refine', 'retract']

_MAX_STEPS = 30
_FIRST_DAMPING = 1e-5
# A step this small ends the search: radians, and parts of the distance to the camera.
_STEP_TOLERANCE = 1e-9
# Depths nearer to zero than this, in units of the size of the cloud, are moved there.
_MIN_DEPTH = 1e-6


class PointTerms(NamedTuple):
    """What each point contributes, component first: shapes (..., P) and (..., n, P).

    Attributes:
        residual: (..., 2, P) projection minus pixel.
        jacobian_u, jacobian_v: (..., 6, P) of the projection, by turn (3) and shift (3).
        turned: (..., 3, P) R x.
        inverse_depth: (..., P).
        depth: (..., P).
    """

    residual: Tensor
    jacobian_u: Tensor
    jacobian_v: Tensor
    turned: Tensor
    inverse_depth: Tensor
    depth: Tensor


class Derivatives(NamedTuple):
    """Cost `E = 1/2 sum w |r|^2` and its derivatives by (turn, shift) of the pose.

    Attributes:
        cost: (...,).
        gradient: (..., 6).
        gauss_newton: (..., 6, 6) `sum w J^T J`.
        hessian: (..., 6, 6) the exact one.
        front: (...,) weight of the points in front of the camera.
    """

    cost: Tensor
    gradient: Tensor
    gauss_newton: Tensor
    hessian: Tensor
    front: Tensor


def retract(R: Tensor, t: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Move a pose by a small turn (3) and shift (3) in the camera frame: `R' = C(turn) R`.

    C is Cayley's map, `C(w) = (I - [w/2])^-1 (I + [w/2])`: it agrees with the exponential map to
    second order, so it has the same Hessian, and needs no trigonometry.
    """
    half = 0.5 * step[..., :3].unsqueeze(-1)
    once = torch.linalg.cross(half, R, dim=-2)
    twice = torch.linalg.cross(half, once, dim=-2)
    factor = 2 / (1 + half.square().sum(-2, keepdim=True))
    return R + factor * (once + twice), t + step[..., 3:]


def point_terms(R: Tensor, t: Tensor, points: Tensor, pixels: Tensor) -> PointTerms:
    """Residual and Jacobian of every point.

    For `q = R x + t`, `u = q_x / q_z` and a turn w with a shift s, `dq = w × R x + s` and
    `du = (dq_x - u dq_z) / q_z`; the same for v with q_y.

    Args:
        R: (..., 3, 3).
        t: (..., 3).
        points: (..., P, 3).
        pixels: (..., P, 2) on the plane z = 1.
    """
    turned = R @ points.mT
    moved = turned + t.unsqueeze(-1)
    depth = moved[..., 2, :]
    inverse = 1 / torch.where(
        depth.abs() < _MIN_DEPTH, torch.where(depth < 0, -_MIN_DEPTH, _MIN_DEPTH), depth
    )
    uv = moved[..., :2, :] * inverse.unsqueeze(-2)
    u, v = uv.unbind(-2)
    a, b, c = (turned * inverse.unsqueeze(-2)).unbind(-2)
    zero = torch.zeros_like(u)
    jacobian_u = torch.stack([-b * u, c + a * u, -b, inverse, zero, -u * inverse], dim=-2)
    jacobian_v = torch.stack([-b * v - c, a * v, a, zero, inverse, -v * inverse], dim=-2)
    return PointTerms(uv - pixels.mT, jacobian_u, jacobian_v, turned, inverse, depth)


def derivatives(
    R: Tensor, t: Tensor, points: Tensor, pixels: Tensor, weights: Tensor
) -> Derivatives:
    """Cost, gradient and Hessians of the weighted reprojection error.

    The exact Hessian adds to Gauss-Newton's `sum w r · d²u`, which has two parts. The division by
    depth gives `-(h e^T + e h^T)` with `h = r_u J_u + r_v J_v` and `e = dq_z / q_z`. The second
    order of the turn gives, on the turn's block, `(s y^T + y s^T) / 2 - (s · y) I` with y = R x and
    s the gradient of the point's cost by q.

    Args:
        R: (..., 3, 3).
        t: (..., 3).
        points: (..., P, 3).
        pixels: (..., P, 2).
        weights: (..., P).
    """
    terms = point_terms(R, t, points, pixels)
    r_u, r_v = terms.residual.unbind(-2)
    w = weights.unsqueeze(-2)
    blend = r_u.unsqueeze(-2) * terms.jacobian_u + r_v.unsqueeze(-2) * terms.jacobian_v
    weighted_blend = w * blend
    gradient = weighted_blend.sum(-1)
    gauss_newton = (w * terms.jacobian_u) @ terms.jacobian_u.mT
    gauss_newton = gauss_newton + (w * terms.jacobian_v) @ terms.jacobian_v.mT

    # blend[3:] is r_u a_u + r_v a_v, the gradient of the point's cost by q.
    spin = weighted_blend[..., 3:, :] @ terms.turned.mT
    ratio = terms.turned[..., :2, :] * terms.inverse_depth.unsqueeze(-2)
    cross = torch.zeros_like(gauss_newton)
    cross[..., :2] = (weighted_blend @ ratio.mT).flip(-1)
    cross[..., 1] *= -1
    cross[..., 5] = (weighted_blend @ terms.inverse_depth.unsqueeze(-1)).squeeze(-1)
    cross[..., :3, :3] -= 0.5 * spin
    hessian = gauss_newton - cross - cross.mT
    trace = spin.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    hessian[..., :3, :3] -= torch.diag_embed(trace.expand(*trace.shape[:-1], 3))

    cost = 0.5 * (weights * terms.residual.square().sum(-2)).sum(-1)
    front = (weights * (terms.depth > _MIN_DEPTH)).sum(-1)
    return Derivatives(cost, gradient, gauss_newton, hessian, front)


def _newton_step(state: Derivatives, damping: Tensor) -> Tensor:
    """Levenberg-Marquardt step, with the exact Hessian where it is positive definite."""
    diagonal = state.gauss_newton.diagonal(dim1=-2, dim2=-1).clamp(min=1e-100)
    extra = torch.diag_embed(damping.unsqueeze(-1) * diagonal)
    exact, failed = torch.linalg.cholesky_ex(state.hessian + extra)
    approximate, _ = torch.linalg.cholesky_ex(state.gauss_newton + extra)
    factor = torch.where((failed == 0)[..., None, None], exact, approximate)
    step = -torch.cholesky_solve(state.gradient.unsqueeze(-1), factor).squeeze(-1)
    return step.nan_to_num(0.0, 0.0, 0.0)


def _select(choose: Tensor, new: Derivatives, old: Derivatives) -> Derivatives:
    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(choose.reshape(choose.shape + (1,) * (a.ndim - choose.ndim)), a, b)

    return Derivatives(*[pick(a, b) for a, b in zip(new, old)])


def refine(
    R: Tensor, t: Tensor, points: Tensor, pixels: Tensor, weights: Tensor, skip: Tensor
) -> tuple[Tensor, Tensor, Derivatives, Tensor]:
    """Bring each pose to the nearest minimum of `1/2 sum w |projection - pixel|^2`.

    A pose that has converged is not touched again, so no problem depends on its neighbours.

    Args:
        R: (..., 3, 3).
        t: (..., 3).
        points, pixels, weights: as in `derivatives`.
        skip: (...,) bool, poses to leave as they are.

    Returns:
        R, t, the derivatives there, and (...,) bool: converged.
    """
    state = derivatives(R, t, points, pixels, weights)
    damping = torch.full_like(state.cost, _FIRST_DAMPING)
    converged = torch.zeros_like(skip)
    for _ in range(_MAX_STEPS):
        running = ~(converged | skip)
        if not running.any():
            break
        step = _newton_step(state, damping)
        new_R, new_t = retract(R, t, step)
        trial = derivatives(new_R, new_t, points, pixels, weights)
        distance = torch.linalg.vector_norm(t, dim=-1, keepdim=True).clamp(min=1.0)
        size = torch.cat([step[..., :3], step[..., 3:] / distance], dim=-1).abs().amax(-1)
        small = size < _STEP_TOLERANCE
        # Rounding must not refuse the last, smallest steps.
        better = (trial.cost <= state.cost * (1 + 1e-12)) | small
        accept = running & better
        R = torch.where(accept[..., None, None], new_R, R)
        t = torch.where(accept[..., None], new_t, t)
        state = _select(accept, trial, state)
        # A step that is small because of much damping says nothing about the minimum.
        converged = converged | (running & small & (damping < 1e-2))
        damping = torch.where(better, damping * 0.01, damping.clamp(min=_FIRST_DAMPING) * 30)
    return R, t, state, converged
