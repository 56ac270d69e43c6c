"""mmcv: operators of mmdet3d's other networks exist for CUDA alone.

Fault: mmcv's C extension has no CPU version of nearest neighbours (`knn`), PAConv's assembly
(`assign_score_withk`), dynamic voxels (`DynamicScatter`), the points of regions
(`RoIPointPool3d`), sigmoid focal loss and the sorting of vertices in the loss on rotated overlaps,
and raises `not implemented on cpu`; `knn` asks for a CUDA device before that.

As in `mmcv_point_operators`, each gets a CPU version in torch for CPU tensors alone, with the
results of the CUDA kernels. Of points that are equally far, and of vertices in one place, the
kernels leave the order open.

Holds for: mmcv 2.0 to 2.2.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable

import mmcv.ops
import torch
from torch import Tensor

from .mmcv_point_operators import (
    chunks,
    first_true,
    give_cpu_versions,
    in_boxes,
    squared_distances,
)

# Rows of indices of a polygon: at most 8 vertices, and the first again.
_POLYGON = 9
# Of the 24 vertices the first 8 are corners of the boxes, the others their edges' intersections.
_CORNERS = 8


def _nearest(k: int, xyz: Tensor, center_xyz: Tensor) -> Tensor:
    """(B, k, M) int32 indices of the k points (B, N, 3) nearest to each centre (B, M, 3).

    Where there are fewer than k, 0 fills the rest.
    """
    found = center_xyz.new_zeros((*center_xyz.shape[:2], k), dtype=torch.int32)
    number = min(k, xyz.shape[1])
    for sample, (points, centers) in enumerate(zip(xyz, center_xyz, strict=True)):
        for rows in chunks(len(centers), len(points)):
            distance = squared_distances(centers[rows], points)
            nearest = distance.topk(number, largest=False).indices
            found[sample, rows, :number] = nearest.int()
    return found.transpose(1, 2).contiguous()


def _knn_by_device(own: Callable) -> Callable:
    @functools.wraps(own)
    def forward(ctx, k, xyz, center_xyz=None, transposed=False) -> Tensor:
        if xyz.is_cuda:
            return own(ctx, k, xyz, center_xyz, transposed)
        center_xyz = xyz if center_xyz is None else center_xyz
        if transposed:
            xyz, center_xyz = xyz.transpose(1, 2), center_xyz.transpose(1, 2)
        found = _nearest(k, xyz, center_xyz)
        ctx.mark_non_differentiable(found)
        return found

    return forward


def _neighbours(points, centers, knn_idx, sample: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of one sample: neighbours' and centres' rows, which exist, and their features' difference.

    The first neighbour is the centre; those out of range count as none.
    """
    index = knn_idx[sample].long()
    exists = (index >= 0) & (index < points.shape[1])
    index = torch.where(exists, index, 0)
    centre = index[:, :1].expand_as(index)
    difference = points[sample][index] - centers[sample][centre]
    return index, centre, exists, difference * exists[..., None, None]


def _assign_score_withk_forward(points, centers, scores, knn_idx, output, *, B, **_) -> None:
    for sample in range(B):
        difference = _neighbours(points, centers, knn_idx, sample)[-1]
        output[sample] = torch.einsum('nkm,nkmo->onk', scores[sample], difference)


def _assign_score_withk_backward(
    grad_out, points, centers, scores, knn_idx, grad_points, grad_centers, grad_scores, *, B, **_
) -> None:
    for sample in range(B):
        index, centre, exists, difference = _neighbours(points, centers, knn_idx, sample)
        grad_scores[sample] = torch.einsum('onk,nkmo->nkm', grad_out[sample], difference)
        share = torch.einsum('nkm,onk->nkmo', scores[sample], grad_out[sample])
        share = (share * exists[..., None, None]).flatten(0, 1)
        grad_points[sample].index_add_(0, index.flatten(), share)
        grad_centers[sample].index_add_(0, centre.flatten(), share, alpha=-1)


def _dynamic_point_to_voxel_forward(feats, coors, reduce_type: str) -> list[Tensor]:
    """Reduce points (N, C) of the same voxel (N, D); points of a negative coordinate have none.

    Returns:
        Features (M, C) and coordinates (M, D) of the voxels in order, voxel of each point (N,),
        -1 for none, and number of points of each voxel (M,).
    """
    coors = coors.masked_fill((coors < 0).any(dim=1, keepdim=True), -1)
    voxels, voxel, count = coors.unique(dim=0, return_inverse=True, return_counts=True)
    if len(voxels) and voxels[0, 0] < 0:
        voxels, voxel, count = voxels[1:], voxel - 1, count[1:]
    inside = voxel >= 0
    index = voxel[inside, None].expand(-1, feats.shape[1])
    reduced = feats.new_zeros((len(voxels), feats.shape[1]))
    how = dict(max='amax', sum='sum', mean='mean')[reduce_type]
    reduced.scatter_reduce_(0, index, feats[inside], how, include_self=False)
    return [reduced, voxels, voxel.int(), count.int()]


def _dynamic_point_to_voxel_backward(
    grad_feats, grad_reduced, feats, reduced, point2voxel, count, reduce_type: str
) -> None:
    inside = (point2voxel >= 0).nonzero()[:, 0]
    voxel = point2voxel[inside].long()
    grad = grad_reduced[voxel]
    if reduce_type == 'mean':
        grad = grad / count[voxel, None]
    elif reduce_type == 'max':
        # To the first point that has the maximum.
        candidates = torch.where(feats[inside] == reduced[voxel], inside[:, None], len(feats))
        winner = candidates.new_full(reduced.shape, len(feats))
        index = voxel[:, None].expand_as(candidates)
        winner.scatter_reduce_(0, index, candidates, 'amin')
        grad = grad * (winner[voxel] == inside[:, None])
    grad_feats[inside] = grad


def _roipoint_pool3d_forward(xyz, boxes3d, pts_feature, pooled_features, empty_flag) -> None:
    number = pooled_features.shape[2]
    places = torch.arange(number, device=xyz.device)
    for sample, (points, boxes) in enumerate(zip(xyz, boxes3d, strict=True)):
        rows = torch.cat([points, pts_feature[sample]], dim=1)
        for box in chunks(len(boxes), len(points)):
            inside = in_boxes(points, boxes[box])[0].T
            columns, found = first_true(inside, number)
            # Too few points are repeated from the first on.
            count = inside.sum(dim=1).clamp(1, number)
            columns = columns.gather(1, places % count[:, None])
            pooled_features[sample, box] = rows[columns] * found[:, None, None]
            empty_flag[sample, box] = (~found).int()


def _probabilities(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """p, log p and log (1 - p), the logarithms of at least the smallest normal number."""
    tiny = torch.finfo(scores.dtype).tiny
    p = scores.sigmoid()
    return p, p.clamp(min=tiny).log(), (1 - p).clamp(min=tiny).log()


def _of_classes(
    positive: Tensor, negative: Tensor, target: Tensor, weight: Tensor, alpha
) -> Tensor:
    """Minus the terms (N, C), of the own class and of the others, weighted."""
    own = target[:, None] == torch.arange(positive.shape[1], device=target.device)
    terms = -torch.where(own, alpha * positive, (1 - alpha) * negative)
    return terms * weight[target][:, None] if len(weight) else terms


def _sigmoid_focal_loss_forward(input, target, weight, output, *, gamma, alpha) -> None:
    p, log_p, log_q = _probabilities(input)
    positive, negative = (1 - p) ** gamma * log_p, p**gamma * log_q
    output.copy_(_of_classes(positive, negative, target, weight, alpha))


def _sigmoid_focal_loss_backward(input, target, weight, grad_input, *, gamma, alpha) -> None:
    # The derivative by the score, written out: autograd has none where p rounds to 0 or 1.
    p, log_p, log_q = _probabilities(input)
    positive = (1 - p) ** gamma * (1 - p - gamma * p * log_p)
    negative = p**gamma * (gamma * (1 - p) * log_q - p)
    grad_input.copy_(_of_classes(positive, negative, target, weight, alpha))


def _diff_iou_rotated_sort_vertices_forward(vertices, mask, num_valid) -> Tensor:
    """Indices (B, N, 9) of the valid vertices (B, N, 24, 2) counter-clockwise, the first again.

    The rest is filled with an intersection that is not valid; so are all of fewer than 3 vertices.
    """
    turn = torch.atan2(vertices[..., 1], vertices[..., 0]) % (2 * math.pi)
    order = torch.where(mask, turn, torch.inf).argsort(dim=2, stable=True)[..., :_POLYGON]
    pad = _CORNERS + mask[..., _CORNERS:].int().argmin(dim=2, keepdim=True)
    number = num_valid[..., None].long()
    places = torch.arange(_POLYGON, device=vertices.device).expand_as(order)
    order = torch.where(places == number, order[..., :1], order)
    return torch.where((places <= number) & (number >= 3), order, pad).int()


_CPU_VERSIONS = {
    function.__name__[1:]: function
    for function in (
        _assign_score_withk_forward,
        _assign_score_withk_backward,
        _dynamic_point_to_voxel_forward,
        _dynamic_point_to_voxel_backward,
        _roipoint_pool3d_forward,
        _sigmoid_focal_loss_forward,
        _sigmoid_focal_loss_backward,
        _diff_iou_rotated_sort_vertices_forward,
    )
}


def apply() -> None:
    """Give the extension its CPU versions, once."""
    give_cpu_versions(_CPU_VERSIONS)
    knn = sys.modules[f'{mmcv.ops.__name__}.knn'].KNN
    if not hasattr(knn.forward, '__wrapped__'):
        knn.forward = staticmethod(_knn_by_device(knn.forward))
