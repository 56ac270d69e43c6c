"""Oracle: the operators' definitions as plain loops over points, and finite differences."""

import itertools

import numpy as np
import pytest
import torch
from mmcv import ops
from mmcv.ops import (
    RoIAwarePool3d,
    ball_query,
    furthest_point_sample,
    furthest_point_sample_with_dist,
    gather_points,
    grouping_operation,
    points_in_boxes_cpu,
    three_interpolate,
    three_nn,
)
from torch.autograd import gradcheck

from nclr_mm.compat import mmcv_point_operators

SCRIPTS = {
    'ball query': 'mmcv.ops.ball_query(0, 1.0, 4, x, x)',
    'grouping': 'mmcv.ops.grouping_operation(x, torch.zeros(1, 2, 3).int())',
    'sampling': 'mmcv.ops.furthest_point_sample(x, 2)',
    'three nn': 'mmcv.ops.three_nn(x, x)',
    'points in boxes': 'mmcv.ops.points_in_boxes_all(x, torch.ones(1, 2, 7))',
}


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def points(generator, *shape) -> torch.Tensor:
    """Points on a coarse grid, so that distances are exact and many are equal."""
    return torch.randint(0, 6, shape, generator=generator).float()


@pytest.mark.parametrize('name', SCRIPTS)
def test_upstream_fault(name, without_workarounds):
    script = f'import mmcv.ops, torch\nx = torch.rand(1, 5, 3)\n{SCRIPTS[name]}'
    errors = without_workarounds(script)
    assert any(word in errors for word in ('for device cpu not found', 'NVIDIA driver', 'CUDA'))


def in_ball(center, point, low: float, high: float) -> bool:
    squared = float(((center - point) ** 2).sum())
    return squared == 0 or low**2 <= squared < high**2


@pytest.mark.parametrize('low', [0.0, 2.0])
def test_ball_query(low, generator):
    xyz, centers = points(generator, 2, 40, 3), points(generator, 2, 9, 3) + 0.0
    centers[0, 0] = 50.0
    found = ball_query(low, 3.0, 5, xyz, centers)
    for sample, m in itertools.product(range(2), range(9)):
        inside = [n for n in range(40) if in_ball(centers[sample, m], xyz[sample, n], low, 3.0)]
        filled = (inside + inside[:1] * 5)[:5] if inside else [0] * 5
        assert found[sample, m].tolist() == filled
    assert found.dtype == torch.int32


def test_stacked_ball_query_marks_empty_balls(generator):
    xyz, centers = points(generator, 50, 3), points(generator, 12, 3)
    centers[7] = 50.0
    xyz_counts, center_counts = torch.tensor([30, 20]).int(), torch.tensor([5, 7]).int()
    found = ball_query(0.0, 2.5, 4, xyz, centers, xyz_counts, center_counts)
    for m in range(12):
        first, last = (0, 30) if m < 5 else (30, 50)
        near = ((xyz[first:last] - centers[m]) ** 2).sum(dim=1)
        inside = [n for n, squared in enumerate(near.tolist()) if squared < 2.5**2]
        filled = (inside + inside[:1] * 4)[:4] if inside else [-1, 0, 0, 0]
        assert found[m].tolist() == filled
    assert found[7, 0] == -1


def test_results_do_not_depend_on_the_chunks(generator, monkeypatch):
    xyz, centers = points(generator, 1, 40, 3), points(generator, 1, 9, 3)
    whole = ball_query(0.0, 3.0, 5, xyz, centers), *three_nn(centers, xyz)
    monkeypatch.setattr(mmcv_point_operators, '_CHUNK', 50)
    for a, b in zip(
        whole, (ball_query(0.0, 3.0, 5, xyz, centers), *three_nn(centers, xyz)), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_grouping(generator):
    features = torch.rand(2, 3, 10, generator=generator)
    index = torch.randint(0, 10, (2, 4, 5), generator=generator).int()
    found = grouping_operation(features, index)
    for b, c, m, s in np.ndindex(2, 3, 4, 5):
        assert found[b, c, m, s] == features[b, c, index[b, m, s]]


def test_stacked_grouping_counts_from_each_sample(generator):
    features = torch.rand(10, 3, generator=generator)
    counts, index_counts = torch.tensor([6, 4]).int(), torch.tensor([2, 3]).int()
    index = torch.randint(0, 4, (5, 2), generator=generator).int()
    found = grouping_operation(features, index, counts, index_counts)
    for m, c, s in np.ndindex(5, 3, 2):
        assert found[m, c, s] == features[index[m, s] + (0 if m < 2 else 6), c]


def test_gathering(generator):
    features = torch.rand(2, 3, 10, generator=generator)
    index = torch.randint(0, 10, (2, 4), generator=generator).int()
    found = gather_points(features, index)
    for b, c, m in np.ndindex(2, 3, 4):
        assert found[b, c, m] == features[b, c, index[b, m]]


def test_furthest_points(generator):
    xyz = torch.rand(2, 60, 3, generator=generator)
    found = furthest_point_sample(xyz, 12)
    for sample in range(2):
        chosen = [0]
        while len(chosen) < 12:
            gaps = [
                min(float(((p - xyz[sample, c]) ** 2).sum()) for c in chosen) for p in xyz[sample]
            ]
            chosen.append(int(np.argmax(gaps)))
        assert found[sample].tolist() == chosen
    squared = ((xyz[:, :, None] - xyz[:, None]) ** 2).sum(dim=-1)
    assert torch.equal(furthest_point_sample_with_dist(squared, 12), found)


def test_three_nearest(generator):
    target, source = points(generator, 2, 8, 3), points(generator, 2, 20, 3)
    distance, index = three_nn(target, source)
    for sample, n in itertools.product(range(2), range(8)):
        squared = [(float(((target[sample, n] - s) ** 2).sum())) for s in source[sample]]
        order = sorted(range(20), key=lambda i, d=squared: (d[i], i))[:3]
        assert index[sample, n].tolist() == order
        expected = [squared[i] ** 0.5 for i in order]
        assert distance[sample, n].tolist() == pytest.approx(expected)


def test_three_interpolate(generator):
    features = torch.rand(2, 4, 9, generator=generator)
    index = torch.randint(0, 9, (2, 6, 3), generator=generator).int()
    weight = torch.rand(2, 6, 3, generator=generator)
    found = three_interpolate(features, index, weight)
    for b, c, n in np.ndindex(2, 4, 6):
        expected = sum(features[b, c, index[b, n, k]] * weight[b, n, k] for k in range(3))
        assert float(found[b, c, n]) == pytest.approx(float(expected), abs=1e-6)


def test_gradients(generator):
    features = torch.rand(2, 3, 10, generator=generator, dtype=torch.double, requires_grad=True)
    stacked = torch.rand(10, 3, generator=generator, dtype=torch.double, requires_grad=True)
    index = torch.randint(0, 4, (2, 6, 3), generator=generator).int()
    weight = torch.rand(2, 6, 3, generator=generator, dtype=torch.double)
    counts = torch.tensor([6, 4]).int(), torch.tensor([2, 4]).int()
    assert gradcheck(grouping_operation, (features, index))
    assert gradcheck(lambda x: grouping_operation(x, index[0], *counts), stacked)
    assert gradcheck(gather_points, (features, index[:, :, 0].contiguous()))
    assert gradcheck(three_interpolate, (features, index, weight))


def boxes_and_points(generator):
    number = 6
    center = torch.rand(1, number, 3, generator=generator) * 4
    size = torch.rand(1, number, 3, generator=generator) * 3 + 0.5
    yaw = torch.rand(1, number, 1, generator=generator) * 7
    return torch.cat([center, size, yaw], dim=-1), torch.rand(1, 500, 3, generator=generator) * 6


def test_points_in_boxes_are_those_of_mmcvs_own_function(generator):
    boxes, cloud = boxes_and_points(generator)
    expected = points_in_boxes_cpu(cloud, boxes)
    assert expected.sum() > 50
    assert torch.equal(ops.points_in_boxes_all(cloud, boxes), expected)
    part = ops.points_in_boxes_part(cloud, boxes)[0]
    for n, row in enumerate(expected[0].tolist()):
        assert part[n] == (row.index(1) if any(row) else -1)


def test_shapes_of_points_and_boxes_are_checked():
    with pytest.raises(ValueError, match=r'\(1, 5, 4\) and \(1, 2, 9\)'):
        ops.points_in_boxes_all(torch.rand(1, 5, 4), torch.rand(1, 2, 9))
    with pytest.raises(ValueError, match='without points'):
        furthest_point_sample(torch.rand(1, 0, 3), 2)


def test_no_boxes_hold_no_points(generator):
    _, cloud = boxes_and_points(generator)
    assert ops.points_in_boxes_part(cloud, torch.zeros(1, 0, 7)).eq(-1).all()
    assert ops.points_in_boxes_all(cloud, torch.zeros(1, 0, 7)).shape == (1, 500, 0)


@pytest.mark.parametrize('mode', ['max', 'avg'])
def test_roi_aware_pooling(mode, generator):
    boxes, cloud = boxes_and_points(generator)
    rois, cloud = boxes[0], cloud[0]
    rois[5, :3] = 100.0  # holds no point
    features = torch.randn(500, 2, generator=generator)
    size, capacity = (2, 3, 4), 4
    found = RoIAwarePool3d(size, capacity, mode)(rois, cloud, features)
    held = points_in_boxes_cpu(cloud[None], rois[None])[0]
    expected = np.zeros((6, *size, 2))
    for roi in range(6):
        x, y, z, *extent, yaw = rois[roi].tolist()
        members = {}
        for n in held[:, roi].nonzero()[:, 0].tolist():
            dx, dy, dz = (cloud[n] - torch.tensor([x, y, z])).tolist()
            local = (
                dx * np.cos(yaw) + dy * np.sin(yaw) + extent[0] / 2,
                dy * np.cos(yaw) - dx * np.sin(yaw) + extent[1] / 2,
                dz,
            )
            cell = tuple(
                min(int(p / (e / s)), s - 1) for p, e, s in zip(local, extent, size, strict=True)
            )
            members.setdefault(cell, []).append(n)
        for cell, numbers in members.items():
            kept = features[numbers[: capacity - 1]].numpy()
            expected[roi][cell] = kept.max(axis=0) if mode == 'max' else kept.mean(axis=0)
    assert np.abs(expected).sum() > 10
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)

    smooth = features.double().requires_grad_()
    pool = RoIAwarePool3d(size, capacity, mode)
    assert gradcheck(lambda x: pool(rois.double(), cloud.double(), x), smooth, atol=1e-5)


def test_tensors_on_a_gpu_go_to_mmcvs_own_operators(monkeypatch):
    called = []
    dispatch = mmcv_point_operators.by_device(
        lambda *args, **kwargs: called.append('own'), lambda *args, **kwargs: called.append('cpu')
    )

    class OnGPU:
        is_cuda = True

    dispatch(OnGPU(), number=3)
    dispatch(torch.zeros(1), number=3)
    dispatch(points=torch.zeros(1), number=3)
    assert called == ['own', 'cpu', 'cpu']


def test_names_of_mmdet3d_are_replaced_too():
    from mmdet3d.structures.bbox_3d import base_box3d

    assert base_box3d.points_in_boxes_all is ops.points_in_boxes_all


def test_stacked_ball_query_of_a_sample_without_centers(generator):
    xyz, centers = points(generator, 10, 3), points(generator, 5, 3)
    numbers = torch.tensor([10, 0]).int()
    both = ball_query(0.0, 2.0, 4, xyz, centers, numbers, torch.tensor([5, 0]).int())
    one = ball_query(0.0, 2.0, 4, xyz, centers, numbers[:1], torch.tensor([5]).int())
    assert torch.equal(both, one)
