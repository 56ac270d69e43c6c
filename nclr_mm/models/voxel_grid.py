"""The grid of voxels of a model, which mmdet3d's configs state in several places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from mmdet3d.models.middle_encoders import SparseEncoder
from torch import nn

__all__ = ['VoxelGridError', 'check_voxel_grid', 'sparse_shape']

# Configs of mmdet3d place anchors up to half a cell inside the range, at most 2 % of its extent.
_ANCHOR_TOLERANCE = 0.02


class VoxelGridError(ValueError):
    """Two places of a config state different grids of voxels; the message names both."""


def sparse_shape(point_cloud_range: Sequence[float], voxel_size: Sequence[float]) -> list[int]:
    """Shape [z, y, x] of the sparse tensors of a grid, with mmdet3d's additional layer along z.

    Args:
        point_cloud_range: x, y, z of the lowest and x, y, z of the highest corner in metres.
        voxel_size: edge lengths (x, y, z) in metres.
    """
    x, y, z = _grid_size(point_cloud_range, voxel_size)
    return [z + 1, y, x]


def check_voxel_grid(model: nn.Module) -> None:
    """Compare every grid of voxels that a model states with that of its voxel layer.

    Compared are ``sparse_shape`` of the sparse encoder, ``point_cloud_range``, ``pc_range``,
    ``voxel_size`` and ``grid_size`` of the modules, box coders, ``train_cfg`` and ``test_cfg``, and
    the extents of the anchors along x and y. Models without a voxel layer of fixed range pass.

    Args:
        model: an mmdet3d detector or :class:`nclr_mm.models.NCLRVoxelNet`.

    Raises:
        VoxelGridError: naming each setting that differs, its value and the expected one.
    """
    layer = getattr(getattr(model, 'data_preprocessor', None), 'voxel_layer', None)
    if layer is None or getattr(layer, 'point_cloud_range', None) is None:
        return
    extent, size = list(layer.point_cloud_range), list(layer.voxel_size)
    expected = dict(
        point_cloud_range=extent,
        pc_range=extent,
        voxel_size=size,
        grid_size=_grid_size(extent, size),
        sparse_shape=sparse_shape(extent, size),
    )
    faults = []
    for place, key, value in _statements(model):
        if key == 'ranges':
            wanted, given = np.array(extent)[[0, 1, 3, 4]], np.array(value)[:, [0, 1, 3, 4]]
            tolerance = _ANCHOR_TOLERANCE * np.tile(wanted[2:] - wanted[:2], 2)
            fits = (np.abs(given - wanted) <= tolerance).all()
            wanted = f'x and y from {extent[:2]} to {extent[3:5]}'
        else:
            wanted = expected[key][: len(value)]  # some state x and y alone
            fits = np.allclose(value, wanted)
        if not fits:
            faults.append(f'model.{place}{key} is {list(value)}, expected {wanted}')
    if faults:
        raise VoxelGridError(
            f'model.data_preprocessor.voxel_layer has point_cloud_range {extent} and voxel_size '
            f'{size}, but {"; ".join(faults)}.'
        )


def _grid_size(extent: Sequence[float], size: Sequence[float]) -> list[int]:
    """Number of voxels along x, y, z; rounded as mmdet3d's voxel layer does."""
    return [round((extent[axis + 3] - extent[axis]) / size[axis]) for axis in range(3)]


def _statements(model: nn.Module) -> Iterator[tuple[str, str, Sequence]]:
    """Place (with a final dot, or empty), key and value of each setting of the grid."""
    for name, module in model.named_modules():
        if name.startswith('data_preprocessor'):
            continue
        place = f'{name}.' if name else ''
        holders: list[tuple[str, object]] = [(place, module)]
        holders += [(f'{place}{key}.', getattr(module, key, None)) for key in _HOLDERS]
        for where, holder in holders:
            values = holder if isinstance(holder, Mapping) else getattr(holder, '__dict__', {})
            # Detectors of the class MVXTwoStageDetector keep the settings of LiDAR under `pts`.
            if isinstance(values.get('pts'), Mapping):
                where, values = f'{where}pts.', values['pts']
            for key in _KEYS:
                value = values.get(key)
                if key == 'sparse_shape' and not isinstance(module, SparseEncoder):
                    continue
                if isinstance(value, list | tuple | np.ndarray):
                    yield where, key, value


_HOLDERS = ('bbox_coder', 'prior_generator', 'train_cfg', 'test_cfg')
_KEYS = ('sparse_shape', 'point_cloud_range', 'pc_range', 'voxel_size', 'grid_size', 'ranges')
