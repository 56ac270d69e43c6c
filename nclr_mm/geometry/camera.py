"""Pinhole cameras: projection and intrinsics.

Frames and pixels: the camera looks along z, x to the right, y down, in metres. Pixel centres are
integers, so an image of width W covers -0.5 <= u < W - 0.5. `cam2img` is the 3x3 matrix of
intrinsics, `[[fx, s, cx], [0, fy, cy], [0, 0, 1]]`; fx < 0 belongs to a mirrored image.

Every function takes any leading dimensions, changes no argument, and computes in float32 at least.
"""

import torch
from torch import Tensor

from .precision import full_precision
from .rigid import _check_matrix, _check_vectors

__all__ = [
    'MIN_DEPTH',
    'crop_intrinsics',
    'flip_intrinsics',
    'in_image',
    'normalise_pixels',
    'project',
    'scale_intrinsics',
]

# Nearest depth in metres that counts as in front of the camera. Far below anything that a LiDAR
# measures, and large enough for x / z and x / z^2 to stay well inside float32.
MIN_DEPTH = 1e-4


@full_precision
def project(points_cam: Tensor, cam2img: Tensor) -> tuple[Tensor, Tensor]:
    """Project points of the camera frame to pixels: `(u, v) = (K p)_{1,2} / z`.

    Values and gradients are finite for every finite point: depths under `MIN_DEPTH`, those behind
    the camera among them, are divided by `MIN_DEPTH` instead. Such pixels mean nothing; leave them
    out with `in_image`.

    Args:
        points_cam: (..., P, 3) in the camera frame, metres.
        cam2img: (..., 3, 3), last row (0, 0, 1); leading dimensions broadcast.

    Returns:
        uv: (..., P, 2) pixels.
        depth: (..., P) z in metres, as it is.

    Raises:
        ValueError: if a shape does not fit.

    Example:
        >>> K = torch.tensor([[100.0, 0.0, 50.0], [0.0, 100.0, 40.0], [0.0, 0.0, 1.0]])
        >>> uv, depth = project(torch.tensor([[1.0, 0.0, 10.0]]), K)
        >>> uv, depth
        (tensor([[60., 40.]]), tensor([10.]))
    """
    _check_vectors(points_cam, 3, 'points_cam')
    _check_matrix(cam2img, 3, 'cam2img')
    depth = points_cam[..., 2]
    plane = points_cam[..., :2] / depth.clamp(min=MIN_DEPTH).unsqueeze(-1)
    upper = cam2img[..., None, :2, :]
    uv = upper[..., 0] * plane[..., 0, None] + upper[..., 1] * plane[..., 1, None] + upper[..., 2]
    return uv, depth.expand(uv.shape[:-1])


@full_precision
def in_image(
    uv: Tensor, depth: Tensor, height: int, width: int, min_depth: float = MIN_DEPTH
) -> Tensor:
    """Tell which projected points lie on the image and in front of the camera.

    Args:
        uv: (..., 2) pixels.
        depth: (...,) metres.
        height: image height H in pixels, `-0.5 <= v < H - 0.5`.
        width: image width W in pixels, `-0.5 <= u < W - 0.5`.
        min_depth: nearest depth in metres; `depth > min_depth`.

    Returns:
        (...,) bool; False where a value is NaN.

    Raises:
        ValueError: if a shape does not fit.

    Example:
        >>> in_image(torch.tensor([[0.0, 0.0], [9.5, 0.0]]), torch.ones(2), height=5, width=10)
        tensor([ True, False])
    """
    _check_vectors(uv, 2, 'uv')
    u, v = uv.unbind(-1)
    inside = (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)
    return inside & (depth > min_depth)


def _affine_pixels(
    cam2img: Tensor,
    scale_x: float | Tensor,
    scale_y: float | Tensor,
    shift_x: float | Tensor,
    shift_y: float | Tensor,
) -> Tensor:
    """Intrinsics after `u' = scale_x u + shift_x`, `v' = scale_y v + shift_y`."""

    def column(value: float | Tensor) -> float | Tensor:
        # A number stays one: as a tensor it would travel to the device.
        return value.to(cam2img).unsqueeze(-1) if isinstance(value, Tensor) else float(value)

    def row(index: int, scale: float | Tensor, shift: float | Tensor) -> Tensor:
        return column(scale) * cam2img[..., index, :] + column(shift) * cam2img[..., 2, :]

    rows = [row(0, scale_x, shift_x), row(1, scale_y, shift_y), cam2img[..., 2, :]]
    return torch.stack(torch.broadcast_tensors(*rows), dim=-2)


@full_precision
def scale_intrinsics(cam2img: Tensor, scale_x: float | Tensor, scale_y: float | Tensor) -> Tensor:
    """Intrinsics of a resized image, `u' = (u + 0.5) scale_x - 0.5`, likewise v.

    A feature map of stride s has those of `scale_x = scale_y = 1 / s`.

    Args:
        cam2img: (..., 3, 3).
        scale_x: new width / old width; a number or a tensor of the leading dimensions.
        scale_y: new height / old height.

    Returns:
        (..., 3, 3).

    Raises:
        ValueError: if the shape does not fit.

    Example:
        >>> scale_intrinsics(torch.eye(3), 0.5, 0.5)[0]
        tensor([ 0.5000,  0.0000, -0.2500])
    """
    _check_matrix(cam2img, 3, 'cam2img')
    return _affine_pixels(cam2img, scale_x, scale_y, 0.5 * scale_x - 0.5, 0.5 * scale_y - 0.5)


@full_precision
def flip_intrinsics(cam2img: Tensor, width: float | Tensor) -> Tensor:
    """Intrinsics of a mirrored image, `u' = W - 1 - u`. fx changes its sign.

    Args:
        cam2img: (..., 3, 3).
        width: image width W in pixels; a number or a tensor of the leading dimensions.

    Returns:
        (..., 3, 3).

    Raises:
        ValueError: if the shape does not fit.

    Example:
        >>> flip_intrinsics(torch.eye(3), 10)[0]
        tensor([-1.,  0.,  9.])
    """
    _check_matrix(cam2img, 3, 'cam2img')
    return _affine_pixels(cam2img, -1.0, 1.0, width - 1, 0.0)


@full_precision
def crop_intrinsics(cam2img: Tensor, left: float | Tensor, top: float | Tensor) -> Tensor:
    """Intrinsics of a cropped image, `u' = u - left`, `v' = v - top`.

    Args:
        cam2img: (..., 3, 3).
        left: first column kept, in pixels; negative pads. A number or a tensor of the leading
            dimensions.
        top: first row kept.

    Returns:
        (..., 3, 3).

    Raises:
        ValueError: if the shape does not fit.

    Example:
        >>> crop_intrinsics(torch.eye(3), 4, 2)[:2, 2]
        tensor([-4., -2.])
    """
    _check_matrix(cam2img, 3, 'cam2img')
    return _affine_pixels(cam2img, 1.0, 1.0, -left, -top)


@full_precision
def normalise_pixels(uv: Tensor, cam2img: Tensor) -> Tensor:
    """Pixels to the camera plane z = 1, by the inverse of `cam2img`.

    Skew and negative focal lengths are allowed.

    Args:
        uv: (..., P, 2) pixels.
        cam2img: (..., 3, 3), last row (0, 0, 1); leading dimensions broadcast.

    Returns:
        (..., P, 2) values x / z, y / z in the camera frame.

    Raises:
        ValueError: if a shape does not fit.

    Example:
        >>> K = torch.tensor([[100.0, 0.0, 50.0], [0.0, 100.0, 40.0], [0.0, 0.0, 1.0]])
        >>> normalise_pixels(torch.tensor([[60.0, 40.0]]), K)
        tensor([[0.1000, 0.0000]])
    """
    _check_vectors(uv, 2, 'uv')
    _check_matrix(cam2img, 3, 'cam2img')
    upper = cam2img[..., None, :2, :]
    a, b, cx = upper[..., 0, :].unbind(-1)
    c, d, cy = upper[..., 1, :].unbind(-1)
    u, v = uv[..., 0] - cx, uv[..., 1] - cy
    determinant = a * d - b * c
    return torch.stack([(d * u - b * v) / determinant, (a * v - c * u) / determinant], dim=-1)
