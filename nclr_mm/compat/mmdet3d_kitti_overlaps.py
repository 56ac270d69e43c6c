"""mmdet3d: the KITTI evaluation runs on CUDA alone.

Fault: `mmdet3d.evaluation.functional.kitti_utils.rotate_iou` compiles numba kernels for CUDA while
it is imported, and `eval.py` imports it for overlaps from above and in 3D. Without a GPU the import
raises `CudaSupportError`.

Where numba finds no GPU, a module with the same function takes its place, on mmcv's
`box_iou_rotated`, which has a CPU version.

Holds for: mmdet3d 1.0 to 1.4.
"""

import sys
from types import ModuleType

import numpy as np
import torch
from mmcv.ops import box_iou_rotated

MODULE = 'mmdet3d.evaluation.functional.kitti_utils.rotate_iou'


def rotated_overlaps(
    boxes: np.ndarray, query_boxes: np.ndarray, criterion: int = -1, device_id: int = 0
) -> np.ndarray:
    """Overlaps of rotated rectangles, with the conventions of mmdet3d's `rotate_iou_gpu_eval`.

    Args:
        boxes: (N, 5) x, y, length along x, length along y, angle in radians: a positive one turns
            from y to x.
        query_boxes: (K, 5), likewise.
        criterion: what the area in common is divided by: -1 the area of both together, 0 that of
            the query box, 1 that of the box, anything else 1.
        device_id: unused; of mmdet3d's signature.

    Returns:
        (N, K) float32.
    """
    boxes, query_boxes = (
        torch.from_numpy(np.ascontiguousarray(b, dtype=np.float32)) for b in (boxes, query_boxes)
    )
    if not len(boxes) or not len(query_boxes):
        return np.zeros((len(boxes), len(query_boxes)), dtype=np.float32)
    overlap = box_iou_rotated(boxes, query_boxes, clockwise=False)
    if criterion == -1:
        return overlap.numpy()
    area = (boxes[:, 2] * boxes[:, 3])[:, None]
    query_area = (query_boxes[:, 2] * query_boxes[:, 3])[None]
    common = overlap * (area + query_area) / (1 + overlap)
    divisors = {0: query_area, 1: area}
    return (common / divisors.get(criterion, 1)).numpy()


def apply() -> None:
    """Put a module on CPU operators in the place of the one that needs a GPU."""
    from numba import cuda  # slow to import, and comes with mmdet3d

    if cuda.is_available() or MODULE in sys.modules:
        return
    module = ModuleType(MODULE, __doc__)
    module.rotate_iou_gpu_eval = rotated_overlaps
    sys.modules[MODULE] = module
