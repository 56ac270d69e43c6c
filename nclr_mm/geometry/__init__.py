"""Camera and rigid-motion mathematics, and batched EPnP. Tensors in, tensors out.

This room imports nothing but torch. All functions compute in float32 at least, also under autocast.
"""

from .camera import (
    MIN_DEPTH,
    crop_intrinsics,
    flip_intrinsics,
    in_image,
    normalise_pixels,
    project,
    scale_intrinsics,
)
from .epnp import EPnPResult, epnp
from .overlap import occlusion_mask, pixel_occupancy
from .precision import full_precision
from .rigid import (
    euler_to_matrix,
    invert,
    is_rigid,
    make_rigid,
    rotation_angle,
    transform_points,
)

__all__ = [
    'MIN_DEPTH',
    'EPnPResult',
    'crop_intrinsics',
    'epnp',
    'euler_to_matrix',
    'flip_intrinsics',
    'full_precision',
    'in_image',
    'invert',
    'is_rigid',
    'make_rigid',
    'normalise_pixels',
    'occlusion_mask',
    'pixel_occupancy',
    'project',
    'rotation_angle',
    'scale_intrinsics',
    'transform_points',
]
