"""Loading of point labels."""

from __future__ import annotations

from os import path as osp

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS

from ..checks import check_label_number, read_label_archive
from ..segmentation.label_maps import map_labels

# Panoptic nuScenes stores 1000 * class + instance, SemanticKITTI and SemanticPOSS
# 2^16 * instance + class.
_NUSCENES_BASE = 1000
_KITTI_BITS = 16


def read_labels(
    path: str, points: int, scan: str = 'the scan'
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a label file; its ending tells the format.

    Args:
        path: ``*_lidarseg.bin`` (uint8 class), ``*_panoptic.npz`` (uint16) or ``*.label`` (uint32).
        points: of the scan, N; a file of another number of labels is not read.
        scan: what the error calls it.

    Returns:
        (N,) int64 raw class of each point, and (N,) int64 raw instance, 0 where there is none; None
        for a format without instances.

    Raises:
        FileNotFoundError, ValueError: naming the file.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'The label file {path} is missing.')
    if path.endswith('.npz'):
        values = read_label_archive(path, points, scan).astype(np.int64)
        return values // _NUSCENES_BASE, values % _NUSCENES_BASE
    dtype = np.dtype('<u4' if path.endswith('.label') else np.uint8)
    size = osp.getsize(path)
    if size % dtype.itemsize:
        raise ValueError(f'{path} is truncated: {size} bytes are not {dtype.itemsize} a point.')
    check_label_number(path, size // dtype.itemsize, points, scan)
    values = np.fromfile(path, dtype=dtype).astype(np.int64)
    if dtype.itemsize == 1:
        return values, None
    return values & (2**_KITTI_BITS - 1), values >> _KITTI_BITS


@TRANSFORMS.register_module()
class LoadPointLabels(BaseTransform):
    """Load the labels of a scan and map them to the classes of the data set.

    Args:
        with_instances: whether instances are loaded too, from ``pts_panoptic_mask_path``.

    Samples of a test split, which have no label files and no ``eval_ann_info``, pass unchanged.

    Adds ``pts_semantic_mask`` (N,) int64 and, with instances, ``pts_instance_mask`` (N,) int64:
    a number for each object, and the class for points of none; and copies both into
    ``eval_ann_info`` where there is one.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: naming the file, if it cannot be read, does not have one label for each point,
            or holds raw labels that the data set does not define.
    """

    def __init__(self, with_instances: bool = False) -> None:
        self.with_instances = with_instances

    def transform(self, results: dict) -> dict:
        key = f'pts_{"panoptic" if self.with_instances else "semantic"}_mask_path'
        if results.get('test_mode') and 'eval_ann_info' not in results:
            return results
        path = results[key]
        scan = f'the scan {results["lidar_path"]}'
        raw, instance = read_labels(path, len(results['points']), scan)
        results['pts_semantic_mask'] = map_labels(raw, results['seg_label_mapping'], path)
        keys = ['pts_semantic_mask']
        if self.with_instances:
            if instance is None:
                raise ValueError(f'{path} holds no instances.')
            # Objects of two raw classes may share a number; points of no object are one segment.
            results['pts_instance_mask'] = np.where(
                instance > 0, (raw << _KITTI_BITS) + instance, results['pts_semantic_mask']
            )
            keys.append('pts_instance_mask')
        if 'eval_ann_info' in results:
            results['eval_ann_info'].update({key: results[key] for key in keys})
        return results
