"""Loading of scans and images."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.datasets.transforms import LoadPointsFromFile
from mmdet3d.registry import TRANSFORMS

from ..checks import read_image
from ..scans import LEAST_GIVEN, SCAN_SUFFIXES, layout_fault, read_and_count, read_floats
from .images import apply_to_camera, resize_affine

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


@TRANSFORMS.register_module()
class LoadLidarPoints(LoadPointsFromFile):
    """mmdet3d's LoadPointsFromFile for scans, which names the file when a scan is truncated.

    Files of float32 rows are read as they are. ``.npy``, ``.pcd``, ``.ply``, ``.las`` and ``.laz``
    are read by :func:`nclr_mm.datasets.scans.read_scan`, which gives x, y, z and intensity.

    Args:
        load_dim: float32 numbers a point in the file; 4 for the formats that say so themselves.
        use_dim: how many of them, or which, to keep.
        allow_empty: whether a file of 0 bytes is a scan without points. Of a whole scan it is an
            error, but a part, as what a camera sees, may have none.

    Adds ``points`` (LiDARPoints, metres, LiDAR frame). Points whose coordinates are not finite, as
    drivers write them where nothing came back, stay in their rows, to which labels belong;
    ``PointsRangeFilter`` drops them. Adds their number and that of the points that ``read_scan``
    left out, ``num_unmeasured_points``, which
    :class:`nclr_mm.engine.hooks.LeftOutCountsHook` brings to the log where it is packed.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if its size is not a positive multiple of ``4 * load_dim`` bytes, if it is not
            of the format that its name says, if an intensity is not finite, or if the values show
            another layout, see :func:`nclr_mm.datasets.scans.layout_fault`.
    """

    def __init__(
        self, load_dim: int = 4, use_dim: int | list[int] = 4, allow_empty: bool = False
    ) -> None:
        super().__init__(coord_type='LIDAR', load_dim=load_dim, use_dim=use_dim)
        self.allow_empty = allow_empty

    def transform(self, results: dict) -> dict:
        self._left_out = 0
        results = super().transform(results)
        path = results['lidar_points']['lidar_path']
        fault = layout_fault(results['points'].tensor.numpy(), LEAST_GIVEN)
        if fault:
            raise ValueError(
                f'{path} does not hold {self.load_dim} float32 numbers a point (load_dim) with x, '
                f'y, z and the intensity where use_dim says: {fault}.'
            )
        finite = results['points'].tensor.isfinite()
        unmeasured = int((~finite[:, :3]).any(dim=1).sum())
        results['num_unmeasured_points'] = self._left_out + unmeasured
        bad = int((~finite[:, 3:]).any(dim=1).sum())
        if bad:
            raise ValueError(
                f'{path}: the intensity, or another value, of {bad} points is not finite. Has the '
                f'file {self.load_dim} float32 numbers a point (load_dim)?'
            )
        return results

    def _load_points(self, pts_filename: str) -> np.ndarray:
        suffix = Path(pts_filename).suffix.lower()
        if suffix in SCAN_SUFFIXES and suffix != '.bin':
            if self.load_dim != 4:
                raise ValueError(
                    f'{pts_filename} has x, y, z and intensity: LoadLidarPoints needs load_dim=4 '
                    f'for it, not {self.load_dim}.'
                )
            points, self._left_out = read_and_count(pts_filename)
            return points.ravel()
        size = os.path.getsize(pts_filename)
        if size % (4 * self.load_dim) or not (size or self.allow_empty):
            raise ValueError(
                f'{pts_filename} is truncated: {size} bytes are not a positive multiple of '
                f'{4 * self.load_dim} ({self.load_dim} float32 a point).'
            )
        return read_floats(pts_filename)


@TRANSFORMS.register_module()
class LoadCalibratedImages(BaseTransform):
    """Load the images of all cameras, in the order of ``results['images']``.

    Args:
        reduce: 1, 2, 4 or 8: decode JPEG files at this fraction of their size, which saves half
            of the time where a smaller image is wanted anyway. The sizes must be multiples of it.

    Adds ``img`` (list of V uint8 BGR arrays (H, W, 3)), ``cam_names`` (list of V), ``cam2img``
    (V, 3, 3) and ``lidar2cam`` (V, 4, 4), both float64.

    Raises:
        FileNotFoundError, ValueError: naming the file, if it is missing, cannot be read, or is
            not of the size that its calibration is for.
    """

    def __init__(self, reduce: int = 1) -> None:
        if reduce not in _REDUCED:
            raise ValueError(f'reduce must be one of {list(_REDUCED)}, got {reduce}.')
        self.reduce = reduce

    def transform(self, results: dict) -> dict:
        cameras = results['images']
        results['cam_names'] = list(cameras)
        results['cam2img'] = np.stack([camera['cam2img'] for camera in cameras.values()])
        results['lidar2cam'] = np.stack([camera['lidar2cam'] for camera in cameras.values()])
        results['img'] = [self._load(camera) for camera in cameras.values()]
        for index in range(len(cameras)):
            apply_to_camera(results, index, resize_affine(1 / self.reduce, 1 / self.reduce))
        return results

    def _load(self, camera: dict) -> np.ndarray:
        path, width, height = (camera[key] for key in ('img_path', 'width', 'height'))
        if width % self.reduce or height % self.reduce:
            raise ValueError(
                f'{path} is {width}x{height}: reduce={self.reduce} needs multiples of it.'
            )
        return read_image(path, _REDUCED[self.reduce], (width, height))
