"""The grid of voxels of a model, which mmdet3d's configs state in several places."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from mmdet3d.models.middle_encoders import PointPillarsScatter, SparseEncoder, SparseUNet
from torch import nn

__all__ = ['VoxelGridError', 'check_voxel_grid', 'check_voxel_layer', 'sparse_shape']

# Configs of mmdet3d place anchors up to half a cell inside the range. A cell of the BEV map has at
# most 8 voxels along x and y.
_ANCHOR_TOLERANCE = 8
# Largest part of a voxel by which a range may miss a whole number of voxels.
_WHOLE = 0.01
_LAYER = 'model.data_preprocessor.voxel_layer'


class VoxelGridError(ValueError):
    """A grid of voxels is malformed, or two places of a config state different ones."""


def sparse_shape(point_cloud_range: Sequence[float], voxel_size: Sequence[float]) -> list[int]:
    """Shape [z, y, x] of the sparse tensors of a grid, with mmdet3d's additional layer along z.

    Args:
        point_cloud_range: x, y, z of the lowest and x, y, z of the highest corner in metres.
        voxel_size: edge lengths (x, y, z) in metres.
    """
    x, y, z = _grid_size(point_cloud_range, voxel_size)
    return [z + 1, y, x]


def check_voxel_layer(layer: Mapping) -> None:
    """Check the range and the voxel size of a voxel layer.

    Args:
        layer: ``point_cloud_range`` and ``voxel_size`` in metres; without ``voxel_size`` (mmdet3d
            derives it from ``grid_shape``) only the range is checked.

    Raises:
        VoxelGridError: naming the value, unless there are six and three numbers, and the range is
            a whole number of voxels, at least one, along each axis.
    """
    keys = dict(point_cloud_range=6) if layer.get('grid_shape') else _NUMBERS
    for key, number in keys.items():
        value = layer.get(key)
        if (
            not isinstance(value, Sequence)
            or len(value) != number
            or not all(isinstance(entry, Real) and math.isfinite(entry) for entry in value)
        ):
            raise VoxelGridError(f'{_LAYER}.{key} is {value!r}, expected {number} finite numbers.')
    extent = layer['point_cloud_range']
    for low, high, size, axis in zip(extent, extent[3:], layer.get('voxel_size') or (), 'xyz'):
        number = (high - low) / size if size > 0 else math.nan
        if not (number > 0.5 and abs(number - round(number)) <= _WHOLE):
            raise VoxelGridError(
                f'{_LAYER} has point_cloud_range {list(extent)} and voxel_size '
                f'{list(layer["voxel_size"])}, expected a whole number of voxels along {axis}: '
                f'{low} to {high} m are {number:.6g} voxels of {size} m.'
            )


def check_voxel_grid(model: nn.Module) -> None:
    """Compare every grid of voxels that a model states with that of its voxel layer.

    Compared are ``sparse_shape`` of the sparse encoder, ``output_shape`` of the scatter of pillars,
    ``point_cloud_range``, ``pc_range``, ``voxel_size`` and ``grid_size`` of the modules, box
    coders, ``train_cfg`` and ``test_cfg``, and the extents of the anchors along x and y. Models
    without hard or dynamic voxels in a fixed range pass.

    Args:
        model: an mmdet3d detector or :class:`nclr_mm.models.NCLRVoxelNet`.

    Raises:
        VoxelGridError: naming each setting that differs, its value and the expected one; or as of
            :func:`check_voxel_layer`.
    """
    preprocessor = getattr(model, 'data_preprocessor', None)
    layer = getattr(preprocessor, 'voxel_layer', None)
    if getattr(layer, 'point_cloud_range', None) is None:
        return
    if getattr(preprocessor, 'voxel_type', 'hard') not in ('hard', 'dynamic'):
        return
    extent, size = layer.point_cloud_range, layer.voxel_size
    check_voxel_layer(dict(point_cloud_range=extent, voxel_size=size))
    extent, size = list(extent), list(size)
    shape = sparse_shape(extent, size)
    expected = dict(
        point_cloud_range=extent,
        pc_range=extent,
        voxel_size=size,
        grid_size=_grid_size(extent, size),
        sparse_shape=shape,
        output_shape=shape[1:],
    )
    faults = []
    for place, key, value in _statements(model):
        if key == 'ranges':
            wanted, given = np.array(extent)[[0, 1, 3, 4]], np.array(value)[:, [0, 1, 3, 4]]
            tolerance = _ANCHOR_TOLERANCE * np.tile(size[:2], 2) + 1e-6
            fits = (np.abs(given - wanted) <= tolerance).all()
            wanted = f'x and y from {extent[:2]} to {extent[3:5]}'
        else:
            wanted = expected[key]
            # BEVFusion's encoder has its axes in the order x, y, z.
            if key == 'sparse_shape' and _class_name(model, place).startswith('BEVFusion'):
                wanted = wanted[::-1]
            if np.size(value) == 2 and key != 'sparse_shape':  # x and y alone
                wanted = wanted[:2]
            axes = 2 if key == 'grid_size' else None  # that along z is not used
            fits = np.shape(value) == np.shape(wanted) and np.allclose(value[:axes], wanted[:axes])
        if not fits:
            faults.append(f'model.{place}{key} is {value}, expected {wanted}')
    if faults:
        raise VoxelGridError(
            f'{_LAYER} has point_cloud_range {extent} and voxel_size {size}, but '
            f'{"; ".join(faults)}.'
        )


def _class_name(model: nn.Module, place: str) -> str:
    return type(model.get_submodule(place.removesuffix('.'))).__name__


def _grid_size(extent: Sequence[float], size: Sequence[float]) -> list[int]:
    """Number of voxels along x, y, z; rounded as mmdet3d's voxel layer does."""
    return [round((extent[axis + 3] - extent[axis]) / size[axis]) for axis in range(3)]


def _statements(model: nn.Module) -> Iterator[tuple[str, str, Any]]:
    """Place (with a final dot, or empty), key and value of each setting of the grid."""
    for name, module in model.named_modules():
        if name.startswith('data_preprocessor'):
            continue
        place = f'{name}.' if name else ''
        for key, types in _SHAPES.items():
            if isinstance(module, types):
                yield place, key, getattr(module, key)
        holders: list[tuple[str, object]] = [(place, module)]
        holders += [(f'{place}{key}.', getattr(module, key, None)) for key in _HOLDERS]
        for where, holder in holders:
            values = holder if isinstance(holder, Mapping) else getattr(holder, '__dict__', {})
            # Detectors of the class MVXTwoStageDetector keep the settings of LiDAR under `pts`.
            if isinstance(values.get('pts'), Mapping):
                where, values = f'{where}pts.', values['pts']
            # Encoders of pillars and voxels keep the edge lengths alone.
            if 'vx' in values and 'voxel_size' not in values:
                yield where, 'voxel_size', [values[key] for key in ('vx', 'vy', 'vz')]
            for key in _KEYS:
                if isinstance(values.get(key), list | tuple | np.ndarray):
                    yield where, key, values[key]


_NUMBERS = dict(point_cloud_range=6, voxel_size=3)
_HOLDERS = ('bbox_coder', 'prior_generator', 'train_cfg', 'test_cfg')
_SHAPES = dict(sparse_shape=(SparseEncoder, SparseUNet), output_shape=PointPillarsScatter)
_KEYS = ('point_cloud_range', 'pc_range', 'voxel_size', 'grid_size', 'ranges')
