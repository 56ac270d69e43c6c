"""Differentiable perspective-n-point for batches of problems."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .pnp_initial import initial_poses
from .pnp_problem import whiten
from .pnp_refine import derivatives, point_terms, refine
from .precision import full_precision

__all__ = ['EPnPResult', 'epnp']

# Part of the weight that must lie in front of the camera. Not all of it: one wrong
# correspondence of little weight must not cost the pose.
_MIN_FRONT = 0.9

# How many candidates are refined: the two poses of a plane can be this close in cost.
_REFINED = 2

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
        start = point_terms(R, t, x.unsqueeze(1), m.unsqueeze(1))
        cost = (w.unsqueeze(1) * start.residual.square().sum(-2)).sum(-1)
        front = (w.unsqueeze(1) * (start.depth > 0)).sum(-1) >= _MIN_FRONT
        # A pose behind the camera is taken only where there is no other.
        order = torch.where(front, cost, cost + 1e30).argsort(dim=-1, stable=True)[:, :_REFINED]
        batch = torch.arange(len(order), device=order.device).unsqueeze(-1)
        skip = ~problem.usable.unsqueeze(-1).expand_as(order)
        R, t, state, converged = refine(
            R[batch, order], t[batch, order], x.unsqueeze(1), m.unsqueeze(1), w.unsqueeze(1), skip
        )

        front = state.front >= _MIN_FRONT
        best = torch.where(front & converged, state.cost, state.cost + 1e30).argmin(-1)
        batch = batch.squeeze(-1)
        R, t = R[batch, best], t[batch, best]
        hessian, cost = state.hessian[batch, best], state.cost[batch, best]
        diagonal = hessian.diagonal(dim1=-2, dim2=-1).clamp(min=1e-100).rsqrt()
        eye = torch.eye(6, dtype=hessian.dtype, device=hessian.device)
        scaled = diagonal.unsqueeze(-1) * hessian * diagonal.unsqueeze(-2)
        _, failed = torch.linalg.cholesky_ex(scaled - _MIN_EIGENVALUE * eye)
        valid = problem.usable & (front & converged)[batch, best] & (failed == 0)

        R_out = R @ problem.axes.mT
        t_out = problem.scale.unsqueeze(-1) * t - (R_out @ problem.centre.unsqueeze(-1)).squeeze(-1)
        R_out = torch.where(valid[:, None, None], R_out, torch.eye(3).to(R_out)).to(points)
        t_out = torch.where(valid[:, None], t_out, 0.0).to(points)
        rms = torch.where(valid, (2 * cost).sqrt(), torch.inf).to(points)
        ctx.save_for_backward(R, t, x, m, w, valid, problem.axes, problem.centre)
        ctx.scale, ctx.total, ctx.dtype = problem.scale, problem.total, points.dtype
        ctx.mark_non_differentiable(valid, rms)
        return R_out, t_out, valid, rms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        R, t, x, m, w, valid, axes, centre = ctx.saved_tensors
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
        hessian = torch.where(valid[:, None, None], derivatives(R, t, x, m, w).hessian, eye)
        factor, _ = torch.linalg.cholesky_ex(hessian)
        dual = torch.cholesky_solve(by_pose.unsqueeze(-1), factor)

        terms = point_terms(R, t, x, m)
        d_u = (terms.jacobian_u * dual).sum(-2)
        d_v = (terms.jacobian_v * dual).sum(-2)
        r_u, r_v = terms.residual.unbind(-2)
        u, v = (terms.residual + m.mT).unbind(-2)
        active = (w > 0) & valid.unsqueeze(-1)
        by_pixels = w.unsqueeze(-1) * torch.stack([d_u, d_v], dim=-1)
        by_weights = -(r_u * d_u + r_v * d_v) / ctx.total.unsqueeze(-1)

        # By q = R x + t of the point: P^T (J λ) + (r · d²u) dq + (P^T r) × turn, with P = du/dq.
        turn, shift = dual[..., :3, :], dual[..., 3:, :]
        dq = torch.linalg.cross(turn, terms.turned, dim=-2) + shift
        rate = dq[..., 2, :] * terms.inverse_depth
        a_u = d_u - r_u * rate
        a_v = d_v - r_v * rate
        along = -(a_u * u + a_v * v) - (r_u * d_u + r_v * d_v)
        slope = torch.stack([r_u, r_v, -(r_u * u + r_v * v)], dim=-2)
        by_q = torch.stack([a_u, a_v, along], dim=-2) + torch.linalg.cross(slope, turn, dim=-2)
        by_q = by_q * (w * terms.inverse_depth).unsqueeze(-2) / ctx.scale[:, None, None]
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
    `sum_i w_i |project(R p_i + t) - m_i|^2` of the two best, of which the better is returned. The
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
