"""mmcv: on CPUs, suppression of rotated boxes takes minutes for the proposals of PV-RCNN.

Fault: mmcv's CPU version of `nms_rotated` intersects each box that is kept with all that follow,
also those at the other end of the scene. The 9000 proposals of a network that has learnt nothing
yet take more than a minute a scan. It ignores labels too, other than the version for CUDA.

Here only pairs that can reach the threshold are intersected, by mmcv's own `box_iou_rotated`:
their upright bounding rectangles tell. Without labels the result is the same for thresholds above
0. Tensors on a GPU go
to mmcv's own.

Holds for: mmcv 2.0 to 2.2.
"""

from __future__ import annotations

import numpy as np
import shapely
import torch
from mmcv.ops import box_iou_rotated
from torch import Tensor

from .mmcv_point_operators import give_cpu_versions

# Pairs intersected at once.
_CHUNK = 2**20


def _possible_rivals(boxes: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Pairs (M, 2) of boxes (N, 5) whose overlap may reach the threshold.

    The area in common is at most that of the bounding rectangles in common, and at most that of
    the smaller box.
    """
    width, height = boxes[:, 2], boxes[:, 3]
    cos, sin = np.abs(np.cos(boxes[:, 4])), np.abs(np.sin(boxes[:, 4]))
    half = np.stack([width * cos + height * sin, width * sin + height * cos], axis=1) / 2
    area = width * height
    # Boxes that are not finite, of a network that has diverged, overlap nothing.
    finite = np.isfinite(boxes).all(axis=1).nonzero()[0]
    low, high = (boxes[:, :2] - half)[finite], (boxes[:, :2] + half)[finite]
    rectangles = shapely.box(*low.T, *high.T)
    pairs = finite[shapely.STRtree(rectangles).query(rectangles).T]
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    kept = [pairs[:0]]
    for first in range(0, len(pairs), _CHUNK):
        chunk = pairs[first : first + _CHUNK]
        i, j = chunk.T
        common = half[i] + half[j] - np.abs(boxes[i, :2] - boxes[j, :2])
        common = common.clip(0, 2 * np.minimum(half[i], half[j])).prod(axis=1)
        common = np.minimum(common, np.minimum(area[i], area[j]))
        bound = common / np.maximum(area[i] + area[j] - common, 1e-12)
        kept.append(chunk[bound >= iou_threshold - 1e-4])
    return np.concatenate(kept)


def nms_rotated(
    dets: Tensor,
    scores: Tensor,
    order: Tensor,
    dets_sorted: Tensor,
    labels: Tensor,
    iou_threshold: float,
    multi_label: bool,
) -> Tensor:
    """Keep boxes that no kept box of higher score overlaps by the threshold or more.

    Args:
        dets: (N, 5) x, y, width, height, angle, and with `multi_label` a sixth column, the label.
        scores: unused, of mmcv's signature.
        order: (N,) boxes by falling score.
        dets_sorted: `dets` in that order.
        labels: unused, of mmcv's signature.
        iou_threshold: overlap at which a box goes.
        multi_label: whether boxes of different labels leave each other alone.

    Returns:
        (K,) int64 indices of the boxes kept, by falling score.
    """
    boxes = dets_sorted[:, :5].detach().float()
    near = _possible_rivals(boxes.numpy(), iou_threshold)
    if multi_label:
        label = dets_sorted[:, 5].numpy()
        near = near[label[near[:, 0]] == label[near[:, 1]]]
    near = torch.from_numpy(near)
    overlaps = [
        box_iou_rotated(boxes[pairs[:, 0]], boxes[pairs[:, 1]], aligned=True)
        for pairs in near.split(_CHUNK)
    ]
    rivals = near[torch.cat(overlaps) >= iou_threshold].numpy() if overlaps else near.numpy()
    rivals = np.sort(rivals, axis=1)  # the better box first
    rivals = rivals[np.argsort(rivals[:, 0], kind='stable')]
    begin = np.searchsorted(rivals[:, 0], np.arange(len(boxes) + 1))
    kept = np.ones(len(boxes), dtype=bool)
    for box in range(len(boxes)):
        if kept[box]:
            kept[rivals[begin[box] : begin[box + 1], 1]] = False
    return order[torch.from_numpy(kept)]


def apply() -> None:
    """Give the extension this version for CPU tensors, once."""
    give_cpu_versions(dict(nms_rotated=nms_rotated))
