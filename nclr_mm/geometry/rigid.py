"""Rigid motions as 4x4 matrices and 3x3 rotations.

Every function takes any leading dimensions, is differentiable, and computes in float32 at least.
Products over the three coordinates are written out instead of calling `matmul`: they then keep
full precision also where TF32 matrix products are switched on.
"""

import torch
from torch import Tensor

from .precision import full_precision

__all__ = [
    'euler_to_matrix',
    'invert',
    'is_rigid',
    'make_rigid',
    'rotation_angle',
    'transform_points',
]


def _check_matrix(matrix: Tensor, size: int, name: str) -> None:
    if matrix.shape[-2:] != (size, size):
        raise ValueError(
            f'{name} must have shape (..., {size}, {size}), got {tuple(matrix.shape)}.'
        )


def _check_vectors(vectors: Tensor, size: int, name: str) -> None:
    if vectors.ndim < 1 or vectors.shape[-1] != size:
        raise ValueError(f'{name} must have shape (..., {size}), got {tuple(vectors.shape)}.')


@full_precision
def make_rigid(rotation: Tensor, translation: Tensor) -> Tensor:
    """Build `T = [[R, t], [0, 1]]`.

    Args:
        rotation: (..., 3, 3).
        translation: (..., 3), in metres; leading dimensions broadcast with those of `rotation`.

    Returns:
        (..., 4, 4).

    Raises:
        ValueError: if a shape does not fit.

    Example:
        >>> make_rigid(torch.eye(3), torch.tensor([1.0, 2.0, 3.0]))[:3, 3]
        tensor([1., 2., 3.])
    """
    _check_matrix(rotation, 3, 'rotation')
    _check_vectors(translation, 3, 'translation')
    batch = torch.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    upper = torch.cat(
        [rotation.expand(*batch, 3, 3), translation.expand(*batch, 3).unsqueeze(-1)], dim=-1
    )
    last_row = upper.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*batch, 1, 4)
    return torch.cat([upper, last_row], dim=-2)


@full_precision
def invert(transform: Tensor) -> Tensor:
    """Invert rigid transforms by `R' = R^T`, `t' = -R^T t`.

    Args:
        transform: (..., 4, 4), rigid. Scale or shear is not noticed here; see `is_rigid`.

    Returns:
        (..., 4, 4).

    Raises:
        ValueError: if the shape does not fit.

    Example:
        >>> T = make_rigid(torch.eye(3), torch.tensor([1.0, 2.0, 3.0]))
        >>> invert(T)[:3, 3]
        tensor([-1., -2., -3.])
    """
    _check_matrix(transform, 4, 'transform')
    rotation, translation = transform[..., :3, :3], transform[..., :3, 3]
    # R^T t, with the sum over the rows of R.
    return make_rigid(rotation.mT, -(rotation * translation.unsqueeze(-1)).sum(-2))


@full_precision
def transform_points(transform: Tensor, points: Tensor) -> Tensor:
    """Apply `p' = R p + t`.

    Args:
        transform: (..., 4, 4), takes frame a to frame b.
        points: (..., P, 3) in frame a, metres; leading dimensions broadcast.

    Returns:
        (..., P, 3) in frame b.

    Raises:
        ValueError: if a shape does not fit.

    Example:
        >>> T = make_rigid(torch.eye(3), torch.tensor([0.0, 0.0, 5.0]))
        >>> transform_points(T, torch.zeros(2, 3))
        tensor([[0., 0., 5.],
                [0., 0., 5.]])
    """
    _check_matrix(transform, 4, 'transform')
    _check_vectors(points, 3, 'points')
    columns = transform[..., None, :3, :]
    moved = columns[..., 3]
    for axis in range(3):
        moved = moved + columns[..., axis] * points[..., axis, None]
    return moved


@full_precision
def rotation_angle(rotation_a: Tensor, rotation_b: Tensor) -> Tensor:
    """Geodesic distance of two rotations, in radians, in [0, pi].

    With `R = R_a^T R_b`: `atan2(|vee(R - R^T)| / 2, (tr R - 1) / 2)`, which is accurate near 0 and
    near pi, where `acos` of the trace is not. The gradient is finite everywhere; it is zero at
    equal rotations and at exactly opposite ones, where the distance has a kink.

    Args:
        rotation_a: (..., 3, 3).
        rotation_b: (..., 3, 3); leading dimensions broadcast.

    Returns:
        (...,) angles.

    Raises:
        ValueError: if a shape does not fit.

    Example:
        >>> quarter = euler_to_matrix(torch.zeros(()), torch.zeros(()), torch.tensor(torch.pi / 2))
        >>> rotation_angle(torch.eye(3), quarter)
        tensor(1.5708)
    """
    _check_matrix(rotation_a, 3, 'rotation_a')
    _check_matrix(rotation_b, 3, 'rotation_b')
    relative = (rotation_a.unsqueeze(-1) * rotation_b.unsqueeze(-2)).sum(-3)
    skew = relative - relative.mT
    twice_sine = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1)
    twice_cosine = relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1
    return torch.atan2(torch.linalg.vector_norm(twice_sine, dim=-1), twice_cosine)


@full_precision
def euler_to_matrix(roll: Tensor, pitch: Tensor, yaw: Tensor) -> Tensor:
    """Rotation `R = Rz(yaw) Ry(pitch) Rx(roll)`: turns about the fixed x, then y, then z axis.

    Args:
        roll: (...,) radians about x.
        pitch: (...,) radians about y.
        yaw: (...,) radians about z. The three broadcast.

    Returns:
        (..., 3, 3).

    Example:
        >>> R = euler_to_matrix(torch.zeros(()), torch.zeros(()), torch.tensor(torch.pi / 2))
        >>> (R @ torch.tensor([1.0, 0.0, 0.0])).round()  # x turns to y
        tensor([-0., 1., 0.])
    """
    roll, pitch, yaw = torch.broadcast_tensors(roll, pitch, yaw)
    sr, cr = torch.sin(roll), torch.cos(roll)
    sp, cp = torch.sin(pitch), torch.cos(pitch)
    sy, cy = torch.sin(yaw), torch.cos(yaw)
    entries = [
        *(cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr),
        *(sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr),
        *(-sp, cp * sr, cp * cr),
    ]
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


@full_precision
def is_rigid(transform: Tensor, atol: float = 1e-4) -> Tensor:
    """Tell for each matrix whether it is a rigid motion.

    That is: finite, `|R R^T - I| <= atol` entry by entry, `det R > 0`, and last row (0, 0, 0, 1).

    Args:
        transform: (..., 4, 4).
        atol: tolerance of each entry. The default is about what calibration files with five or
            six digits keep.

    Returns:
        (...,) bool.

    Raises:
        ValueError: if the shape does not fit.

    Example:
        >>> is_rigid(torch.stack([torch.eye(4), 2 * torch.eye(4)]))
        tensor([ True, False])
    """
    _check_matrix(transform, 4, 'transform')
    rotation = transform[..., :3, :3]
    a, b, c = rotation.unbind(-2)
    gram = (rotation.unsqueeze(-2) * rotation.unsqueeze(-3)).sum(-1)
    orthogonal = ((gram - torch.eye(3).to(gram)).abs() <= atol).flatten(-2).all(-1)
    proper = (torch.linalg.cross(a, b) * c).sum(-1) > 0
    last_row = transform.new_tensor([0.0, 0.0, 0.0, 1.0])
    affine = ((transform[..., 3, :] - last_row).abs() <= atol).all(-1)
    return orthogonal & proper & affine & torch.isfinite(transform).flatten(-2).all(-1)
