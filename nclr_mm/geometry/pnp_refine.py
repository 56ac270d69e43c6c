"""Newton's method on the weighted reprojection error of many poses at once."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ['Derivatives', 'Projection', 'derivatives', 'project_pose', 'refine', 'retract']

_MAX_STEPS = 30
_FIRST_DAMPING = 1e-5
# A step this small ends the search: radians, and parts of the distance to the camera. Newton's
# method squares the error with each step, so what is left after it is rounding.
_STEP_TOLERANCE = 1e-7
# That holds for steps with less damping than this; a step held small by damping says nothing.
_FREE_DAMPING = 1e-6
# Depths nearer to zero than this, in units of the size of the cloud, are moved there.
_MIN_DEPTH = 1e-6


class Projection(NamedTuple):
    """Points as a pose puts them, component first.

    Attributes:
        uv: (..., 2, P) on the plane z = 1.
        residual: (..., 2, P) uv minus the pixels.
        turned: (..., 3, P) R x.
        depth: (..., P).
        inverse_depth: (..., P), finite.
    """

    uv: Tensor
    residual: Tensor
    turned: Tensor
    depth: Tensor
    inverse_depth: Tensor


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


def project_pose(R: Tensor, t: Tensor, points: Tensor, pixels: Tensor) -> Projection:
    """Project points by `q = R x + t`, `u = q_x / q_z`, `v = q_y / q_z`.

    Args:
        R: (..., 3, 3).
        t: (..., 3).
        points: (..., P, 3).
        pixels: (..., P, 2) on the plane z = 1.
    """
    turned = R @ points.mT
    moved = turned + t.unsqueeze(-1)
    depth = moved[..., 2, :]
    near = torch.where(depth < 0, -_MIN_DEPTH, _MIN_DEPTH)
    inverse = torch.where(depth.abs() < _MIN_DEPTH, near, depth).reciprocal()
    uv = moved[..., :2, :] * inverse.unsqueeze(-2)
    return Projection(uv, uv - pixels.mT, turned, depth, inverse)


@lru_cache
def _maps(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Constant linear maps from sums over the points to the derivatives, see `derivatives`.

    Returns:
        (64, 36) from the moments of `f f^T` times (1, u, v, u^2 + v^2) to the Hessian;
        (12, 36) from the sums of f times (r_u, r_v, rho) to the part of the turn's second order;
        (12, 6) from the same to the gradient.
    """
    # dq / q_z = sum_j f_j rate[j] (turn, shift), with f = (y, 1) / q_z and dq = turn × y + shift.
    rate = torch.zeros(4, 3, 6, dtype=torch.float64)
    eye = torch.eye(3, dtype=torch.float64)
    for j in range(3):
        for m in range(3):
            rate[j, :, m] = torch.linalg.cross(eye[m], eye[j])
    rate[3, :, 3:] = eye
    x, y, z = rate.unbind(1)

    def pair(a: Tensor, b: Tensor) -> Tensor:
        return torch.einsum('ja,kb->jkab', a, b)

    blocks = [
        pair(x, x) + pair(y, y),
        -(pair(x, z) + pair(z, x)),
        -(pair(y, z) + pair(z, y)),
        pair(z, z),
    ]
    hessian = torch.stack(blocks).reshape(64, 36)
    gradient = torch.stack([x, y, -z]).reshape(12, 6)

    spin = torch.zeros(3, 4, 6, 6, dtype=torch.float64)
    for k, sign in enumerate((1.0, 1.0, -1.0)):
        for j in range(3):
            outer = eye[k, :, None] * eye[j]
            symmetric = 0.5 * (outer + outer.T) - float(k == j) * eye
            spin[k, j, :3, :3] = sign * symmetric
    return hessian.to(device), spin.reshape(12, 36).to(device), gradient.to(device)


def derivatives(
    R: Tensor, t: Tensor, points: Tensor, pixels: Tensor, weights: Tensor
) -> Derivatives:
    """Cost, gradient and Hessians of the weighted reprojection error.

    With `y = R x`, a turn w and a shift s move the point by `dq = w × y + s`, and the projection
    by `du = (dq_x - u dq_z) / q_z`, `dv = (dq_y - v dq_z) / q_z`. All is linear in
    `f = (y, 1) / q_z`, so Gauss-Newton's `sum w J^T J` is linear in the moments of `f f^T`
    weighted by 1, u, v and u^2 + v^2: sixty-four numbers hold what matters of all points.

    The exact Hessian adds `sum w r · d²u`. The division by depth contributes
    `-(h e^T + e h^T)` with `h = r_u du + r_v dv` and `e = dq_z / q_z`, which is the same linear
    form with u + r_u, v + r_v, u^2 + v^2 + 2 rho, where `rho = r_u u + r_v v`. The second order of
    the turn contributes `(g y^T + y g^T) / 2 - (g · y) I` on the turn's block, with
    `g = (r_u, r_v, -rho) / q_z` the gradient of the point's cost by q.

    Args:
        R: (..., 3, 3).
        t: (..., 3).
        points: (..., P, 3).
        pixels: (..., P, 2).
        weights: (..., P).
    """
    seen = project_pose(R, t, points, pixels)
    hessian_map, spin_map, gradient_map = _maps(R.device)
    f = torch.cat([seen.turned, torch.ones_like(seen.turned[..., :1, :])], dim=-2)
    f = f * seen.inverse_depth.unsqueeze(-2)
    w = weights.unsqueeze(-2)
    square = seen.uv.square().sum(-2, keepdim=True)
    rho = (seen.uv * seen.residual).sum(-2, keepdim=True)
    factors = w * torch.cat([torch.ones_like(rho), seen.uv, square, seen.residual, rho], dim=-2)

    left = (factors.unsqueeze(-2) * f.unsqueeze(-3)).flatten(-3, -2)
    moments = (left @ f.mT).unflatten(-2, (7, 4))
    sums = (factors[..., 4:, :] @ f.mT).flatten(-2)
    plain = moments[..., :4, :, :]
    extra = torch.cat(
        [
            torch.zeros_like(plain[..., :1, :, :]),
            moments[..., 4:6, :, :],
            2 * moments[..., 6:, :, :],
        ],
        dim=-3,
    )
    gauss_newton = (plain.flatten(-3) @ hessian_map).unflatten(-1, (6, 6))
    second_order = (extra.flatten(-3) @ hessian_map + sums @ spin_map).unflatten(-1, (6, 6))

    cost = 0.5 * (weights * seen.residual.square().sum(-2)).sum(-1)
    front = (weights * (seen.depth > _MIN_DEPTH)).sum(-1)
    gradient = sums @ gradient_map
    return Derivatives(cost, gradient, gauss_newton, gauss_newton + second_order, front)


def _newton_step(state: Derivatives, damping: Tensor) -> Tensor:
    """Levenberg-Marquardt step, with the exact Hessian where it is positive definite."""
    diagonal = state.gauss_newton.diagonal(dim1=-2, dim2=-1).clamp(min=1e-100)
    extra = torch.diag_embed(damping.unsqueeze(-1) * diagonal)
    exact, failed = torch.linalg.cholesky_ex(state.hessian + extra)
    approximate, _ = torch.linalg.cholesky_ex(state.gauss_newton + extra)
    factor = torch.where((failed == 0)[..., None, None], exact, approximate)
    step = -torch.cholesky_solve(state.gradient.unsqueeze(-1), factor).squeeze(-1)
    return step.nan_to_num(0.0, 0.0, 0.0)


def refine(
    R: Tensor, t: Tensor, points: Tensor, pixels: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Derivatives, Tensor]:
    """Bring each pose to the nearest minimum of `1/2 sum w |projection - pixel|^2`.

    A pose that has converged is not touched again, so no problem depends on its neighbours, and a
    slow one does not cost the time of all.

    Args:
        R: (K, 3, 3).
        t: (K, 3).
        points: (K, P, 3).
        pixels: (K, P, 2).
        weights: (K, P).

    Returns:
        R, t, the derivatives there, and (K,) bool: converged.
    """
    R, t = R.clone(), t.clone()
    state = derivatives(R, t, points, pixels, weights)
    damping = torch.full_like(state.cost, _FIRST_DAMPING)
    converged = torch.zeros_like(state.cost, dtype=torch.bool)
    running = torch.arange(len(R), device=R.device)
    for _ in range(_MAX_STEPS):
        if not len(running):
            break
        now = Derivatives(*(value[running] for value in state))
        lam = damping[running]
        step = _newton_step(now, lam)
        old_t = t[running]
        new_R, new_t = retract(R[running], old_t, step)
        data = (value[running] for value in (points, pixels, weights))
        trial = derivatives(new_R, new_t, *data)
        distance = torch.linalg.vector_norm(old_t, dim=-1, keepdim=True).clamp(min=1.0)
        size = torch.cat([step[..., :3], step[..., 3:] / distance], dim=-1).abs().amax(-1)
        small = size < _STEP_TOLERANCE
        # Rounding must not refuse the last, smallest steps.
        better = (trial.cost <= now.cost * (1 + 1e-12)) | small
        taken = running[better]
        R[taken], t[taken] = new_R[better], new_t[better]
        for value, new in zip(state, trial):
            value[taken] = new[better]
        damping[running] = torch.where(better, lam * 0.01, lam.clamp(min=_FIRST_DAMPING) * 30)
        done = small & (lam < _FREE_DAMPING)
        converged[running[done]] = True
        running = running[~done]
    return R, t, state, converged
