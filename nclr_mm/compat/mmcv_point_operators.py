"""mmcv: the operators on point sets, which PV-RCNN is made of, exist for CUDA alone.

Fault: mmcv's C extension has no CPU version of ball query, grouping, gathering, nearest neighbours,
their interpolation, furthest point sampling and RoI-aware pooling, and raises `not implemented on
cpu`; `FurthestPointSampling` and `points_in_boxes_part`/`_all` ask for a CUDA device before that.

Here each function of the extension is given a CPU version in torch, which is taken for CPU tensors
alone: those on a GPU go to mmcv's own. Results are those of the CUDA kernels, the choice among
equals included: the first points in the order of their indices, and lower indices of equal
distances (but of points that are equally far off, which the kernel takes in the order of its
threads). mmcv's own Python code for autograd stays in use.

Holds for: mmcv 2.0 to 2.2.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import mmcv.ops
import torch
from mmcv.utils import ext_loader
from torch import Tensor

# Distances held at once: 1 MiB of them stay in the processor's cache.
_CHUNK = 2**18


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(M, N) squared distances of (M, 3) and (N, 3), summed as the kernels do it."""
    total = (a[:, None, 0] - b[None, :, 0]).square_()
    for i in (1, 2):
        total += (a[:, None, i] - b[None, :, i]).square_()
    return total


def chunks(number: int, width: int):
    """Slices of `number` rows, each of at most `_CHUNK` entries of `width`."""
    step = max(1, _CHUNK // max(1, width))
    return (slice(i, min(i + step, number)) for i in range(0, number, step))


def first_true(mask: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Columns of the first `number` true entries of each row, the rest filled with the first.

    Args:
        mask: (M, N) bool.
        number: K.

    Returns:
        (M, K) int64 columns, 0 in rows without a true entry, and (M,) bool, rows that have one.
    """
    row, column = mask.nonzero(as_tuple=True)
    count = mask.sum(dim=1)
    begin = count.cumsum(0) - count
    rank = torch.arange(len(row), device=mask.device) - begin[row]
    any_true = count > 0
    out = column.new_zeros((len(mask), number))
    out[any_true] = column[begin[any_true]][:, None].expand(-1, number)
    kept = rank < number
    out[row[kept], rank[kept]] = column[kept]
    return out, any_true


def _neighbourhoods(centers: Tensor, points: Tensor, radius: float, size: int = 64):
    """Groups of centres that lie together, and the points that may lie in their balls.

    Args:
        centers: (M, 3).
        points: (N, 3).
        radius: of the balls.
        size: number of centres in a group.

    Yields:
        Rows of up to `size` centres and, in ascending order, of the points at most `radius` from
        their bounding rectangle in x and y.
    """
    if not len(centers):
        return
    # Strips of equal numbers of centres along x, in each of them groups along y.
    strips = max(1, round((len(centers) / size) ** 0.5))
    order = centers[:, 0].argsort()
    groups = [
        group
        for strip in order.tensor_split(strips)
        for group in strip[centers[strip, 1].argsort()].split(size)
    ]
    along_x, by_x = points[:, 0].sort()
    reach = radius * (1 + 1e-5) + 1e-5  # rounding must not lose a point at the border
    for rows in groups:
        near = centers[rows, :2]
        low, high = near.amin(dim=0) - reach, near.amax(dim=0) + reach
        first, last = torch.searchsorted(along_x, torch.stack([low[0], high[0]])).tolist()
        candidates = by_x[first:last]
        y = points[candidates, 1]
        yield rows, candidates[(y >= low[1]) & (y <= high[1])].sort().values


def _ball_query_forward(
    center_xyz, xyz, idx, *, b, n, m, min_radius, max_radius, nsample, **_
) -> None:
    for sample in range(b):
        for rows in chunks(m, n):
            distance = squared_distances(center_xyz[sample, rows], xyz[sample])
            inside = (distance < max_radius**2) & (distance >= min_radius**2)
            # A centre that is a point itself counts in every ball.
            idx[sample, rows] = first_true(inside | (distance == 0), nsample)[0].int()


def _stack_ball_query_forward(
    new_xyz, new_xyz_batch_cnt, xyz, xyz_batch_cnt, idx, *, max_radius, nsample
) -> None:
    parts = zip(
        idx.split(new_xyz_batch_cnt.tolist()),
        new_xyz.split(new_xyz_batch_cnt.tolist()),
        xyz.split(xyz_batch_cnt.tolist()),
        strict=True,
    )
    for out, centers, points in parts:
        for rows, near in _neighbourhoods(centers, points, max_radius):
            if not len(near):
                out[rows] = 0
                out[rows, 0] = -1  # how the kernel marks an empty ball
                continue
            inside = squared_distances(centers[rows], points[near]) < max_radius**2
            columns, found = first_true(inside, nsample)
            columns = near[columns]
            columns[~found] = 0
            columns[~found, 0] = -1
            out[rows] = columns.int()


def _group_points_forward(features, indices, output, *, b, **_) -> None:
    for sample in range(b):
        output[sample] = features[sample][:, indices[sample].long()]


def _group_points_backward(grad_out, indices, grad_features, *, b, c, **_) -> None:
    for sample in range(b):
        grad_features[sample].index_add_(
            1, indices[sample].long().flatten(), grad_out[sample].reshape(c, -1)
        )


def _stacked_rows(indices: Tensor, indices_cnt: Tensor, features_cnt: Tensor) -> Tensor:
    """Rows in the stacked features of indices (M, nsample) that count from 0 in each sample."""
    first = (features_cnt.cumsum(0) - features_cnt).long()
    return indices.long() + first.repeat_interleave(indices_cnt.long())[:, None]


def _stack_group_points_forward(
    features, features_batch_cnt, indices, indices_batch_cnt, output, **_
) -> None:
    rows = _stacked_rows(indices, indices_batch_cnt, features_batch_cnt)
    output.copy_(features[rows].transpose(1, 2))


def _stack_group_points_backward(
    grad_out, indices, indices_batch_cnt, features_batch_cnt, grad_features, *, c, **_
) -> None:
    rows = _stacked_rows(indices, indices_batch_cnt, features_batch_cnt)
    grad_features.index_add_(0, rows.flatten(), grad_out.transpose(1, 2).reshape(-1, c))


def _gather_points_forward(features, indices, output, **_) -> None:
    index = indices.long()[:, None].expand(-1, features.shape[1], -1)
    output.copy_(features.gather(2, index))


def _gather_points_backward(grad_out, indices, grad_features, **_) -> None:
    index = indices.long()[:, None].expand(-1, grad_out.shape[1], -1)
    grad_features.scatter_add_(2, index, grad_out)


def _three_nn_forward(target, source, dist2, idx, *, b, n, m) -> None:
    for sample in range(b):
        for rows in chunks(n, m):
            distance = squared_distances(target[sample, rows], source[sample])
            # A stable sort, for among equals the kernel keeps the first; few points repeat it.
            near, order = distance.sort(dim=1, stable=True)
            if m < 3:
                near = torch.cat([near, near.new_full((len(near), 3 - m), torch.inf)], dim=1)
                order = torch.cat([order, order.new_zeros((len(order), 3 - m))], dim=1)
            dist2[sample, rows] = near[:, :3]
            idx[sample, rows] = order[:, :3].int()


def _three_interpolate_forward(features, indices, weight, output, *, b, **_) -> None:
    for sample in range(b):
        near = features[sample][:, indices[sample].long()]
        output[sample] = (near * weight[sample]).sum(dim=2)


def _three_interpolate_backward(grad_out, indices, weight, grad_features, *, b, c, **_) -> None:
    for sample in range(b):
        share = (grad_out[sample][:, :, None] * weight[sample]).reshape(c, -1)
        grad_features[sample].index_add_(1, indices[sample].long().flatten(), share)


def _furthest(temp: Tensor, distance: Callable[[int, int], Tensor], output: Tensor) -> None:
    for sample in range(len(output)):
        nearest, last = temp[sample], 0
        output[sample, 0] = 0
        for i in range(1, output.shape[1]):
            torch.minimum(nearest, distance(sample, last), out=nearest)
            last = int(nearest.argmax())
            output[sample, i] = last


def _furthest_point_sampling_forward(points_xyz: Tensor, temp: Tensor, output: Tensor) -> None:
    if not points_xyz.shape[1]:
        raise ValueError('Points cannot be sampled from a cloud without points.')
    # Coordinates lie one behind the other, so that a step reads them in a row.
    columns = points_xyz.transpose(1, 2).contiguous()

    def distance(sample: int, point: int) -> Tensor:
        offset = columns[sample] - columns[sample, :, point, None]
        return offset.square_().sum(dim=0)

    _furthest(temp, distance, output)


def _furthest_point_sampling_with_dist_forward(points_dist, temp, output, **_) -> None:
    _furthest(temp, lambda sample, point: points_dist[sample, point], output)


def in_boxes(points: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Whether points (M, 3) are in boxes (T, 7), (M, T) bool, and where, (M, T, 3) from the centre.

    As in the kernels, faces across the yaw are outside, those above and below inside.
    """
    offset = points[:, None] - boxes[None, :, :3]
    height = boxes[:, 5] / 2
    z = offset[..., 2] - height
    cos, sin = boxes[:, 6].cos(), boxes[:, 6].sin()
    x = offset[..., 0] * cos + offset[..., 1] * sin
    y = offset[..., 1] * cos - offset[..., 0] * sin
    inside = (z.abs() <= height) & (x.abs() < boxes[:, 3] / 2) & (y.abs() < boxes[:, 4] / 2)
    return inside, torch.stack([x, y, z], dim=-1)


def _points_in_boxes_all(points: Tensor, boxes: Tensor) -> Tensor:
    if len(points) != len(boxes) or points.shape[2] != 3 or boxes.shape[2] != 7:
        raise ValueError(
            'Points (B, M, 3) and boxes (B, T, 7) are expected, got '
            f'{tuple(points.shape)} and {tuple(boxes.shape)}.'
        )
    return torch.stack([in_boxes(p, b)[0] for p, b in zip(points, boxes, strict=True)]).int()


def _points_in_boxes_part(points: Tensor, boxes: Tensor) -> Tensor:
    inside = _points_in_boxes_all(points, boxes)
    if boxes.shape[1] == 0:
        return inside.new_full(points.shape[:2], -1)
    first = inside.argmax(dim=2).int()
    return torch.where(inside.any(dim=2), first, -1)


def _roiaware_pool3d_forward(
    rois, pts, pts_feature, argmax, pts_idx_of_voxels, pooled_features, *, pool_method
) -> None:
    _, *size, capacity = pts_idx_of_voxels.shape
    counts = rois.new_tensor(size)
    capacity -= 1  # its first entry is the number of points
    for roi in range(len(rois)):
        inside, place = in_boxes(pts, rois[roi : roi + 1])
        members = inside[:, 0].nonzero()[:, 0]
        if not len(members):
            if pool_method == 0:
                argmax[roi] = -1
            continue
        extent = rois[roi, 3:6]
        cell = ((place[members, 0] + extent / 2) / (extent / counts)).long()
        cell = cell.clamp_(min=0).minimum(counts.long() - 1)
        cell = (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]
        order = cell.argsort(stable=True)
        cell, members = cell[order], members[order]
        number = torch.bincount(cell, minlength=size[0] * size[1] * size[2])
        begin = number.cumsum(0) - number
        rank = torch.arange(len(cell), device=cell.device) - begin[cell]
        kept = rank < capacity
        cell, members, rank = cell[kept], members[kept], rank[kept]
        table = pts_idx_of_voxels[roi].view(-1, capacity + 1)
        table[:, 0] = number.clamp(max=capacity).int()
        table[cell, rank + 1] = members.int()
        pooled = pooled_features[roi].view(-1, pts_feature.shape[1])
        values = pts_feature[members]
        if pool_method == 1:
            pooled.index_add_(0, cell, values)
            pooled /= table[:, :1].clamp(min=1)
            continue
        index = cell[:, None].expand_as(values)
        pooled.scatter_reduce_(0, index, values, 'amax', include_self=False)
        # Which point has the maximum: of equals the first.
        candidates = torch.where(values == pooled[cell], members[:, None], len(pts))
        winner = candidates.new_full(pooled.shape, len(pts))
        winner.scatter_reduce_(0, index, candidates, 'amin')
        argmax[roi] = torch.where(winner < len(pts), winner, -1).view_as(argmax[roi]).int()


def _roiaware_pool3d_backward(pts_idx_of_voxels, argmax, grad_out, grad_in, *, pool_method) -> None:
    channels = grad_in.shape[1]
    if pool_method == 0:
        index = argmax.reshape(-1, channels).long()
        share = torch.where(index >= 0, grad_out.reshape(-1, channels), 0)
        grad_in.scatter_add_(0, index.clamp(min=0), share)
        return
    table = pts_idx_of_voxels.reshape(-1, pts_idx_of_voxels.shape[-1]).long()
    share = grad_out.reshape(-1, channels) / table[:, :1].clamp(min=1)
    places = torch.arange(table.shape[1] - 1, device=table.device)
    cell, place = (places < table[:, :1]).nonzero(as_tuple=True)
    grad_in.index_add_(0, table[cell, place + 1], share[cell])


_CPU_VERSIONS = {
    function.__name__[1:]: function
    for function in (
        _ball_query_forward,
        _stack_ball_query_forward,
        _group_points_forward,
        _group_points_backward,
        _stack_group_points_forward,
        _stack_group_points_backward,
        _gather_points_forward,
        _gather_points_backward,
        _three_nn_forward,
        _three_interpolate_forward,
        _three_interpolate_backward,
        _furthest_point_sampling_with_dist_forward,
        _roiaware_pool3d_forward,
        _roiaware_pool3d_backward,
    )
}


def by_device(own: Callable, on_cpu: Callable) -> Callable:
    """A function that calls `own` where its first tensor is on a GPU, and `on_cpu` elsewhere."""

    @functools.wraps(own)
    def dispatch(*args, **kwargs):
        first = args[0] if args else next(iter(kwargs.values()))
        return own(*args, **kwargs) if first.is_cuda else on_cpu(*args, **kwargs)

    dispatch.__wrapped__ = own
    return dispatch


def give_cpu_versions(versions: dict[str, Callable]) -> None:
    """Let functions of mmcv's extension, by name, take these for CPU tensors; once."""
    extension = ext_loader.load_ext('_ext', list(versions))
    for name, on_cpu in versions.items():
        own = getattr(extension, name)
        if not hasattr(own, '__wrapped__'):
            setattr(extension, name, by_device(own, on_cpu))


def _sampling_by_device(own: Callable) -> Callable:
    @functools.wraps(own)
    def forward(ctx, points_xyz: Tensor, num_points: int) -> Tensor:
        if points_xyz.is_cuda:
            return own(ctx, points_xyz, num_points)
        output = points_xyz.new_zeros((len(points_xyz), num_points), dtype=torch.int32)
        nearest = points_xyz.new_full(points_xyz.shape[:2], 1e10)
        _furthest_point_sampling_forward(points_xyz, nearest, output)
        ctx.mark_non_differentiable(output)
        return output

    return forward


def _replace_everywhere(old: Callable, new: Callable) -> None:
    """Bind `new` where loaded modules of mmcv and mmdet3d have bound `old` by its name."""
    for name, module in list(sys.modules.items()):
        theirs = name.partition('.')[0] in ('mmcv', 'mmdet3d') and module is not None
        if theirs and vars(module).get(old.__name__) is old:
            setattr(module, old.__name__, new)


def apply() -> None:
    """Give the extension its CPU versions, once."""
    give_cpu_versions(_CPU_VERSIONS)
    sampling = sys.modules[f'{mmcv.ops.__name__}.furthest_point_sample'].FurthestPointSampling
    if not hasattr(sampling.forward, '__wrapped__'):
        sampling.forward = staticmethod(_sampling_by_device(sampling.forward))
    for own, on_cpu in (
        (mmcv.ops.points_in_boxes_all, _points_in_boxes_all),
        (mmcv.ops.points_in_boxes_part, _points_in_boxes_part),
    ):
        if not hasattr(own, '__wrapped__'):
            _replace_everywhere(own, by_device(own, on_cpu))
