"""Differentiable perspective-n-point for batches of problems."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .pnp_initial import initial_poses
from .pnp_problem import PnPProblem, whiten
from .pnp_refine import project_pose, refine
from .precision import full_precision

__all__ = ['EPnPResult', 'epnp']

# Part of the weight that must lie in front of the camera. Not all of it: one wrong
# correspondence of little weight must not cost the pose.
_MIN_FRONT = 0.9

# A second candidate is refined too where it is turned by more than 10 degrees from the best
# (cosine) and its cost is less than 100 times as high: mostly the other tilt of a plane.
_RIVAL_COSINE = 0.985
_RIVAL_COST = 100.0

# Added to the cost of candidates that count only where there is no other.
_LAST_CHOICE = 1e30

# Smallest eigenvalue of the Hessian, scaled to a unit diagonal, of a pose that counts as
# determined. float64 leaves six digits at this value.
_MIN_EIGENVALUE = 1e-10


class EPnPResult(NamedTuple):
    """Poses that take the points to the camera, `p_cam = R p + t`.

    Attributes:
        R: (B, 3, 3) proper rotation; identity where invalid.
        t: (B, 3), in the unit of the points; zero where invalid.
        valid: (B,) bool.
        rms: (B,) weighted root mean square of the reprojection error on the plane z = 1, without
            gradient; inf where invalid.
    """

    R: Tensor
    t: Tensor
    valid: Tensor
    rms: Tensor


def _choose(R: Tensor, t: Tensor, problem: PnPProblem) -> tuple[Tensor, Tensor, Tensor]:
    """Choose one candidate a problem to refine, or two where they compete.

    Args:
        R: (B, C, 3, 3).
        t: (B, C, 3).
        problem: B problems; those not usable get none.

    Returns:
        (K,) indices of the problem, of its slot (0 or 1), and of the candidate.
    """
    weights = problem.weights.unsqueeze(1)
    seen = project_pose(R, t, problem.points.unsqueeze(1), problem.pixels.unsqueeze(1))
    cost = (weights * seen.residual.square().sum(-2)).sum(-1)
    front = (weights * (seen.depth > 0)).sum(-1) >= _MIN_FRONT
    cost = torch.where(front, cost, cost + _LAST_CHOICE)
    lowest, first = cost.min(-1, keepdim=True)
    best_R = R.gather(1, first[..., None, None].expand(-1, -1, 3, 3))
    cosine = ((R * best_R).sum((-2, -1)) - 1) / 2
    rival, second = torch.where(cosine < _RIVAL_COSINE, cost, torch.inf).min(-1, keepdim=True)
    wanted = torch.cat([torch.ones_like(front[:, :1]), rival < _RIVAL_COST * lowest], dim=-1)
    problem_index, slot = (wanted & problem.usable.unsqueeze(-1)).nonzero(as_tuple=True)
    return problem_index, slot, torch.cat([first, second], dim=-1)[problem_index, slot]


class _ImplicitPnP(torch.autograd.Function):
    """Solve forward without a graph; differentiate the minimiser itself backward.

    At the minimum x* of E(x, θ), with θ the points, pixels and weights, the gradient g vanishes, so
    `dx*/dθ = -H^-1 ∂g/∂θ` with the exact Hessian H (implicit function theorem). For an incoming
    gradient v by the pose, that is `-∂(g · λ)/∂θ` with `λ = H^-1 v`, and `g · λ` is the sum over
    the points of `w r · (J λ)`, whose derivatives are written out below.
    """

    @staticmethod
    def forward(
        ctx: Any, points: Tensor, pixels: Tensor, weights: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        problem = whiten(points, pixels, weights, mask)
        x, m, w = problem.points, problem.pixels, problem.weights

        R, t = initial_poses(problem)
        problem_index, slot, chosen = _choose(R, t, problem)
        R, t, state, converged = refine(
            R[problem_index, chosen],
            t[problem_index, chosen],
            *(value[problem_index] for value in (x, m, w)),
        )

        def best_of(value: Tensor) -> Tensor:
            table = value.new_zeros(len(x), 2, *value.shape[1:])
            table[problem_index, slot] = value
            return table[torch.arange(len(x), device=x.device), best]

        good = converged & (state.front >= _MIN_FRONT)
        score = x.new_full((len(x), 2), torch.inf)
        score[problem_index, slot] = torch.where(good, state.cost, state.cost + _LAST_CHOICE)
        best = score.argmin(-1)
        R, t, good = best_of(R), best_of(t), best_of(good)
        hessian, cost = best_of(state.hessian), best_of(state.cost)
        diagonal = hessian.diagonal(dim1=-2, dim2=-1).clamp(min=1e-100).rsqrt()
        eye = torch.eye(6, dtype=hessian.dtype, device=hessian.device)
        scaled = diagonal.unsqueeze(-1) * hessian * diagonal.unsqueeze(-2)
        _, failed = torch.linalg.cholesky_ex(scaled - _MIN_EIGENVALUE * eye)
        valid = problem.usable & good & (failed == 0)

        R_out = R @ problem.axes.mT
        t_out = problem.scale.unsqueeze(-1) * t - (R_out @ problem.centre.unsqueeze(-1)).squeeze(-1)
        R_out = torch.where(valid[:, None, None], R_out, torch.eye(3).to(R_out)).to(points)
        t_out = torch.where(valid[:, None], t_out, 0.0).to(points)
        rms = torch.where(valid, (2 * cost).sqrt(), torch.inf).to(points)
        ctx.save_for_backward(R, t, x, m, w, valid, hessian, problem.axes, problem.centre)
        ctx.scale, ctx.total, ctx.dtype = problem.scale, problem.total, points.dtype
        ctx.mark_non_differentiable(valid, rms)
        return R_out, t_out, valid, rms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        R, t, x, m, w, valid, hessian, axes, centre = ctx.saved_tensors
        grad_R, grad_t = (
            torch.where(valid.view(-1, *[1] * (g.ndim - 1)), g.double(), 0.0) for g in gradients[:2]
        )
        # By the pose (turn w, shift s) of the whitened points: R_out = C(w) R axes^T and
        # t_out = scale (t + s) - R_out centre.
        R_out = R @ axes.mT
        grad_R = grad_R - grad_t.unsqueeze(-1) * centre.unsqueeze(-2)
        by_turn = torch.linalg.cross(R_out, grad_R, dim=-2).sum(-1)
        by_pose = torch.cat([by_turn, ctx.scale.unsqueeze(-1) * grad_t], dim=-1)

        eye = torch.eye(6, dtype=w.dtype, device=w.device)
        hessian = torch.where(valid[:, None, None], hessian, eye)
        factor, _ = torch.linalg.cholesky_ex(hessian)
        dual = torch.cholesky_solve(by_pose.unsqueeze(-1), factor)

        seen = project_pose(R, t, x, m)
        r_u, r_v = seen.residual.unbind(-2)
        u, v = seen.uv.unbind(-2)
        turn, shift = dual[..., :3, :], dual[..., 3:, :]
        dq = torch.linalg.cross(turn.expand_as(seen.turned), seen.turned, dim=-2) + shift
        dq = dq * seen.inverse_depth.unsqueeze(-2)
        rate = dq[..., 2, :]
        d_u = dq[..., 0, :] - u * rate
        d_v = dq[..., 1, :] - v * rate
        active = (w > 0) & valid.unsqueeze(-1)
        by_pixels = w.unsqueeze(-1) * torch.stack([d_u, d_v], dim=-1)
        by_weights = -(r_u * d_u + r_v * d_v) / ctx.total.unsqueeze(-1)

        # By q = R x + t of the point: P^T (J λ) + (r · d²u) dq + (P^T r) × turn, with P = du/dq.
        a_u = d_u - r_u * rate
        a_v = d_v - r_v * rate
        along = -(a_u * u + a_v * v) - (r_u * d_u + r_v * d_v)
        slope = torch.stack([r_u, r_v, -(r_u * u + r_v * v)], dim=-2)
        by_q = torch.stack([a_u, a_v, along], dim=-2) + torch.linalg.cross(
            slope, turn.expand_as(slope), dim=-2
        )
        by_q = by_q * (w * seen.inverse_depth).unsqueeze(-2) / ctx.scale[:, None, None]
        by_points = -(R_out.mT @ by_q).mT

        return (
            torch.where(active.unsqueeze(-1), by_points, 0.0).to(ctx.dtype),
            torch.where(active.unsqueeze(-1), by_pixels, 0.0).to(ctx.dtype),
            torch.where(active, by_weights, 0.0).to(ctx.dtype),
            None,
        )


@full_precision
def _solve(points: Tensor, pixels: Tensor, weights: Tensor, mask: Tensor) -> EPnPResult:
    return EPnPResult(*_ImplicitPnP.apply(points, pixels, weights, mask))


def epnp(
    points: Tensor,
    pixels: Tensor,
    weights: Tensor | None = None,
    mask: Tensor | None = None,
) -> EPnPResult:
    """Solve B perspective-n-point problems at once.

    EPnP (V. Lepetit, F. Moreno-Noguer, P. Fua, IJCV 81(2), 2009) with the cases N = 1..4, and a
    planar start with its mirror image; then Newton's method on the weighted reprojection error
    `sum_i w_i |project(R p_i + t) - m_i|^2` of the best, or of the two best where they compete. The
    gradients by points, pixels and weights are those of the minimiser (implicit function theorem,
    exact Hessian). They can be taken once only. All work is float64 inside.

    A problem is invalid, with identity pose and zero gradient, when it has fewer than 5
    correspondences of positive weight (1e-30 at least), when one of these holds NaN, infinity, a
    negative weight or a coordinate above 1e9, when its points are collinear, when less than 90 %
    of the weight would lie in front of the camera, or when no isolated minimum was reached. Points
    on a plane are solved. Problems never influence each other.

    Args:
        points: (B, P, 3) in any frame.
        pixels: (B, P, 2) on the camera plane z = 1, see `normalise_pixels`.
        weights: (B, P), 0 or more; only their ratios matter. None: all equal. A correspondence of
            weight zero is left out, and gets no gradient.
        mask: (B, P) bool, false for padding, whose values may be anything. None: all true.

    Returns:
        The poses, float64 for float64 input and float32 otherwise.

    Raises:
        ValueError: if a shape or the type of `mask` does not fit.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> p_cam = torch.rand(1, 20, 3, generator=generator) + torch.tensor([0.0, 0.0, 4.0])
        >>> pixels = p_cam[..., :2] / p_cam[..., 2:]
        >>> result = epnp(p_cam - torch.tensor([1.0, 2.0, 3.0]), pixels)
        >>> result.valid, result.t.round(decimals=3)
        (tensor([True]), tensor([[1., 2., 3.]]))
    """
    if points.ndim != 3 or points.shape[-1] != 3:
        raise ValueError(f'points must have shape (B, P, 3), got {tuple(points.shape)}.')
    batch = points.shape[:2]
    if pixels.shape != (*batch, 2):
        raise ValueError(f'pixels must have shape {(*batch, 2)}, got {tuple(pixels.shape)}.')
    if weights is None:
        weights = torch.ones_like(points[..., 0])
    elif weights.shape != batch:
        raise ValueError(f'weights must have shape {tuple(batch)}, got {tuple(weights.shape)}.')
    if mask is None:
        mask = torch.ones(batch, dtype=torch.bool, device=points.device)
    elif mask.shape != batch or mask.dtype != torch.bool:
        raise ValueError(
            f'mask must be bool of shape {tuple(batch)}, got {mask.dtype} {tuple(mask.shape)}.'
        )
    return _solve(points, pixels, weights, mask)
