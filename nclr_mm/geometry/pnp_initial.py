"""EPnP's closed-form part: candidate poses from linear algebra alone.

V. Lepetit, F. Moreno-Noguer, P. Fua, "EPnP: An Accurate O(n) Solution to the PnP Problem",
International Journal of Computer Vision 81(2), 2009. Numbers of equations refer to it.
"""

import torch
from torch import Tensor

from .pnp_problem import PnPProblem

__all__ = ['initial_poses']

# The six pairs of the four control points (eq. 10 compares their distances).
_PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))

# The ten products beta_a beta_b, and those that each case N = 1..4 solves for. N = 4 has more
# products than equations; keeping only those with beta_1 is enough for a start of Gauss-Newton.
_PRODUCTS = ((0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3))
_CASES = (
    ((0, 0),),
    ((0, 0), (0, 1), (1, 1)),
    ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)),
    ((0, 0), (0, 1), (0, 2), (0, 3)),
)

# Tikhonov term of the small linear systems, as a part of their trace: it decides only where they
# are singular, and what it costs in accuracy the refinement wins back.
_RIDGE = 1e-12
_TINY = 1e-100
_BETA_STEPS = 5


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve `A x = b` for A (..., n, n) positive semi-definite, b (..., n); never raises."""
    ridge = _RIDGE * matrix.diagonal(dim1=-2, dim2=-1).sum(-1) + _TINY
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    factor, _ = torch.linalg.cholesky_ex(matrix + ridge[..., None, None] * eye)
    return torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1).nan_to_num(0.0, 0.0, 0.0)


def _null_vectors(moments: Tensor, count: int) -> Tensor:
    """Solutions of the projection equations (eq. 5, 6), `M x = 0` in the least-squares sense.

    With `p = sum_j a_j c_j` for known coefficients a_j and unknown 3-vectors c_j, each point
    gives `sum_j a_j (c_jx - u c_jz) = 0`, and the same with y and v. `M^T M` is then made of
    the moments of a weighted by 1, u, v and u^2 + v^2.

    Args:
        moments: (B, 4, n, n), weighted sums of `a a^T` times 1, u, v, u^2 + v^2.
        count: how many, smallest eigenvalue first.

    Returns:
        (B, count, n, 3) the c_j, of unit norm all together.
    """
    one, u, v, square = moments.unbind(1)
    zero = torch.zeros_like(one)
    rows = [
        torch.cat([one, zero, -u], dim=-1),
        torch.cat([zero, one, -v], dim=-1),
        torch.cat([-u, -v, square], dim=-1),
    ]
    vectors = torch.linalg.eigh(torch.cat(rows, dim=-2))[1][..., :count]
    return vectors.mT.unflatten(-1, (3, -1)).mT


def _control_points(moments: Tensor, sigma: Tensor) -> Tensor:
    """Four control points in the camera frame, for each of the cases N = 1..4.

    The control points are the centroid and one standard deviation along each principal axis.

    Args:
        moments: (B, 4, 4, 4) moments of `(1, x_1 / sigma_1, x_2 / sigma_2, x_3 / sigma_3)`.
        sigma: (B, 3).

    Returns:
        (B, 4 cases, 4 control points, 3), of either sign.
    """
    # Barycentric coordinates (eq. 1): alpha_0 = 1 - sum of the others.
    to_alpha = torch.eye(4, dtype=moments.dtype, device=moments.device)
    to_alpha[0, 1:] = -1
    vectors = _null_vectors(to_alpha @ moments @ to_alpha.T, 4)

    first = [a for a, _ in _PAIRS]
    second = [b for _, b in _PAIRS]
    edges = vectors[:, :, first] - vectors[:, :, second]
    # quadric[b, pair, i, j]: the squared distance of the pair is beta^T quadric beta (eq. 11).
    quadric = torch.einsum('bipx,bjpx->bpij', edges, edges)
    variance = torch.cat([torch.zeros_like(sigma[:, :1]), sigma.square()], dim=-1)
    target = variance[:, first] + variance[:, second]

    rows = [a for a, _ in _PRODUCTS]
    columns = [b for _, b in _PRODUCTS]
    count = quadric.new_tensor([1.0 if a == b else 2.0 for a, b in _PRODUCTS])
    used = quadric.new_tensor([[float(p in case) for p in _PRODUCTS] for case in _CASES])
    linear = (quadric[..., rows, columns] * count).unsqueeze(1) * used[:, None, :]
    products = _solve(linear.mT @ linear, (linear.mT @ target[:, None, :, None]).squeeze(-1))

    # The products form a symmetric matrix beta beta^T; read beta from its strongest row.
    index = [[_PRODUCTS.index((min(a, b), max(a, b))) for b in range(4)] for a in range(4)]
    outer = products[..., torch.tensor(index, device=products.device)]
    power = outer.diagonal(dim1=-2, dim2=-1).abs()
    strongest = power.argmax(-1, keepdim=True)
    row = outer.gather(-2, strongest.unsqueeze(-1).expand(*strongest.shape, 4)).squeeze(-2)
    beta = row / power.gather(-1, strongest).sqrt().clamp(min=_TINY)

    for _ in range(_BETA_STEPS):  # Gauss-Newton on the six distances (eq. 15)
        half_jacobian = torch.einsum('bpij,bcj->bcpi', quadric, beta)
        error = torch.einsum('bcpi,bci->bcp', half_jacobian, beta) - target.unsqueeze(1)
        normal = half_jacobian.mT @ half_jacobian
        slope = (half_jacobian.mT @ error.unsqueeze(-1)).squeeze(-1)
        beta = beta - 0.5 * _solve(normal, slope)
    return torch.einsum('bci,bijx->bcjx', beta, vectors)


def _planar_points(moments: Tensor, sigma: Tensor) -> Tensor:
    """As `_control_points` for points on a plane: three control points, case N = 1.

    This is the homography of the plane. The fourth control point is set to the third direction's
    zero, which leaves it to the orthogonal fit.

    Returns:
        (B, 1, 4 control points, 3), of either sign.
    """
    centre, d1, d2 = _null_vectors(moments[..., :3, :3], 1).unbind(-2)
    length_1 = torch.linalg.vector_norm(d1, dim=-1)
    length_2 = torch.linalg.vector_norm(d2, dim=-1)
    fit = (sigma[:, :1] * length_1 + sigma[:, 1:2] * length_2) / (
        length_1.square() + length_2.square()
    ).clamp(min=_TINY)
    points = torch.stack([centre, centre + d1, centre + d2, centre], dim=-2)
    return fit[..., None, None] * points


def initial_poses(problem: PnPProblem) -> tuple[Tensor, Tensor]:
    """Candidate poses of each problem, in the frame of the whitened points.

    Four come from EPnP's cases N = 1..4. A plane seen from a distance looks almost the same when
    it is tilted the other way, so two more come from the planar case: its solution, and that
    solution mirrored along the line of sight.

    Args:
        problem: B problems.

    Returns:
        R: (B, 6, 3, 3) proper rotations.
        t: (B, 6, 3), in units of the problem's scale.
    """
    sigma = problem.sigma.clamp(min=1e-7)
    whitened = problem.points / sigma.unsqueeze(-2)
    homogeneous = torch.cat([torch.ones_like(whitened[..., :1]), whitened], dim=-1)
    u, v = problem.pixels.unbind(-1)
    factors = torch.stack([torch.ones_like(u), u, v, u.square() + v.square()], dim=1)
    left = (factors * problem.weights.unsqueeze(1)).unsqueeze(-2) * homogeneous.mT.unsqueeze(1)
    moments = (left.flatten(1, 2) @ homogeneous).unflatten(1, (4, 4))

    points = torch.cat([_control_points(moments, sigma), _planar_points(moments, sigma)], dim=1)
    centre = points[..., 0, :]
    points = torch.where(centre[..., 2:, None] < 0, -points, points)
    t = points[..., 0, :]
    # The points are whitened, so the correlation of the fit (Kabsch, Umeyama) needs no sum over
    # them: its columns are sigma_k times the control point's offset from the centroid.
    correlation = (points[..., 1:, :] - t.unsqueeze(-2)).mT * sigma[:, None, None, :]
    left_vectors, _, right_vectors = torch.linalg.svd(correlation)
    sign = torch.linalg.det(left_vectors @ right_vectors)
    turn = torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], dim=-1)
    R = (left_vectors * turn.unsqueeze(-2)) @ right_vectors

    sight = t[:, 4:] / torch.linalg.vector_norm(t[:, 4:], dim=-1, keepdim=True).clamp(min=_TINY)
    reflected = R[:, 4:] - 2 * sight.unsqueeze(-1) * (sight.unsqueeze(-2) @ R[:, 4:])
    mirrored = reflected * reflected.new_tensor([1.0, 1.0, -1.0])
    return torch.cat([R, mirrored], dim=1), torch.cat([t, t[:, 4:]], dim=1)
