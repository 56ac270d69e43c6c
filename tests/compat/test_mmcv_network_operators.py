"""Oracle: the operators' definitions as plain loops, finite differences and polygons of shapely."""

import itertools

import numpy as np
import pytest
import torch
from mmcv.ops import (
    RoIPointPool3d,
    assign_score_withk,
    diff_iou_rotated_2d,
    dynamic_scatter,
    knn,
    sigmoid_focal_loss,
)
from shapely.affinity import rotate, translate
from shapely.geometry import box as rectangle
from torch.autograd import gradcheck

import nclr_mm  # noqa: F401 (the operators run on CPUs with it)

SCRIPTS = {
    'knn': 'mmcv.ops.knn(2, x, x, False)',
    'assembly': 'mmcv.ops.assign_score_withk(x[..., None], x[..., None], x[..., None], i, "sum")',
    'dynamic voxels': 'mmcv.ops.dynamic_scatter(x[0], i[0], "max")',
    'points of regions': 'mmcv.ops.RoIPointPool3d(4)(x, x, torch.ones(1, 2, 7))',
    'focal loss': 'mmcv.ops.sigmoid_focal_loss(x[0], i[0, :, 0].long(), 2.0, 0.25)',
    'rotated overlaps': 'mmcv.ops.diff_iou_rotated_2d(torch.ones(1, 2, 5), torch.ones(1, 2, 5))',
}


@pytest.mark.parametrize('name', SCRIPTS)
def test_upstream_fault(name, without_workarounds):
    script = 'import mmcv.ops, torch\nx = torch.rand(1, 5, 3)\ni = torch.ones(1, 5, 3).int()\n'
    errors = without_workarounds(script + SCRIPTS[name])
    assert any(word in errors for word in ('for device cpu not found', 'NVIDIA driver', 'CUDA'))


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize('transposed', [False, True])
def test_nearest_neighbours(transposed, generator):
    xyz, centers = (torch.rand(2, n, 3, generator=generator) for n in (40, 9))
    given = (
        [x.transpose(1, 2).contiguous() for x in (xyz, centers)] if transposed else [xyz, centers]
    )
    found = knn(5, *given, transposed)
    assert found.shape == (2, 5, 9) and found.dtype == torch.int32
    for sample, m in itertools.product(range(2), range(9)):
        distance = [float(((xyz[sample, n] - centers[sample, m]) ** 2).sum()) for n in range(40)]
        assert found[sample, :, m].tolist() == sorted(range(40), key=distance.__getitem__)[:5]
    few = knn(5, xyz[:, :3].contiguous(), centers)
    assert (
        not few[:, 3:].any() and (few[:, :3].sort(dim=1).values[0, :, 0] == torch.arange(3)).all()
    )
    assert torch.equal(knn(3, xyz)[:, 0], torch.arange(40).expand(2, 40).int())


def test_assembly(generator):
    points, centers = (torch.rand(2, 7, 3, 4, generator=generator) for _ in range(2))
    scores = torch.rand(2, 5, 6, 3, generator=generator)
    index = torch.randint(0, 7, (2, 5, 6), generator=generator)
    index[0, 1, 2], index[1, 0, 3] = 7, -1  # no points: they give nothing
    found = assign_score_withk(scores, points, centers, index, 'sum')
    for b, o, n, k in itertools.product(range(2), range(4), range(5), range(6)):
        point, centre = int(index[b, n, k]), int(index[b, n, 0])
        expected = 0.0
        if 0 <= point < 7:
            for m in range(3):
                difference = points[b, point, m, o] - centers[b, centre, m, o]
                expected += float(scores[b, n, k, m] * difference)
        assert float(found[b, o, n, k]) == pytest.approx(expected, abs=1e-6)
    inputs = [x.double().requires_grad_() for x in (scores, points, centers)]
    assert gradcheck(lambda *x: assign_score_withk(*x, index, 'sum'), inputs)


@pytest.mark.parametrize('how', ['max', 'sum', 'mean'])
def test_dynamic_voxels(how, generator):
    features = torch.rand(30, 2, generator=generator)
    coors = torch.randint(-1, 3, (30, 3), generator=generator).int()
    values, voxels = dynamic_scatter(features, coors, how)
    members: dict[tuple, list] = {}
    for row, feature in zip(coors.tolist(), features, strict=True):
        if min(row) >= 0:
            members.setdefault(tuple(row), []).append(feature)
    assert [tuple(v) for v in voxels.tolist()] == sorted(members)
    reduce = dict(max=lambda x: x.amax(0), sum=lambda x: x.sum(0), mean=lambda x: x.mean(0))[how]
    for value, voxel in zip(values, sorted(members), strict=True):
        torch.testing.assert_close(value, reduce(torch.stack(members[voxel])))
    smooth = features.double().requires_grad_()
    assert gradcheck(lambda x: dynamic_scatter(x, coors, how)[0], smooth)


def test_dynamic_voxels_of_nothing():
    outside = torch.full((4, 3), -1).int()
    values, voxels = dynamic_scatter(torch.rand(4, 2), outside, 'max')
    assert values.shape == (0, 2) and voxels.shape == (0, 3)
    values, voxels = dynamic_scatter(torch.rand(0, 2), torch.zeros(0, 3).int(), 'mean')
    assert len(values) == len(voxels) == 0


def test_the_maximum_of_equals_is_the_first():
    features = torch.ones(3, 1, requires_grad=True)
    dynamic_scatter(features, torch.zeros(3, 3).int(), 'max')[0].sum().backward()
    assert features.grad[:, 0].tolist() == [1, 0, 0]


def test_points_of_regions(generator):
    xyz = torch.rand(2, 60, 3, generator=generator) * 6
    features = torch.rand(2, 60, 2, generator=generator)
    boxes = torch.tensor(
        [[3.0, 3, 1, 3, 2, 3, 0.6], [1.5, 2, 0, 1, 1, 6, -1], [50, 0, 0, 1, 1, 1, 0]]
    )
    pooled, empty = RoIPointPool3d(8)(xyz, features, boxes.expand(2, 3, 7).contiguous())
    assert empty.tolist() == [[0, 0, 1]] * 2 and not pooled[:, 2].any()
    for sample, b in itertools.product(range(2), range(2)):
        x, y, z, length, width, height, yaw = boxes[b].tolist()
        own = []
        for point, feature in zip(xyz[sample].tolist(), features[sample].tolist(), strict=True):
            dx, dy = point[0] - x, point[1] - y
            along, across = dx * np.cos(yaw) + dy * np.sin(yaw), dy * np.cos(yaw) - dx * np.sin(yaw)
            if abs(along) < length / 2 and abs(across) < width / 2 and 0 <= point[2] - z <= height:
                own.append([*point, *feature])
        assert own
        expected = [own[i % len(own)] for i in range(8)]
        torch.testing.assert_close(pooled[sample, b], torch.tensor(expected))


@pytest.mark.parametrize('weighted', [False, True])
def test_focal_loss(weighted, generator):
    scores = torch.randn(6, 3, generator=generator).double() * 3
    target = torch.tensor([0, 1, 2, 1, 0, 2])
    weight = torch.tensor([0.5, 2.0, 1.0]).double() if weighted else None
    found = sigmoid_focal_loss(scores, target, 2.0, 0.25, weight, 'none')
    for n, c in itertools.product(range(6), range(3)):
        p = 1 / (1 + np.exp(-float(scores[n, c])))
        own = int(target[n]) == c
        expected = -0.25 * (1 - p) ** 2 * np.log(p) if own else -0.75 * p**2 * np.log(1 - p)
        expected *= float(weight[target[n]]) if weighted else 1
        assert float(found[n, c]) == pytest.approx(expected, abs=1e-9)
    smooth = scores.clone().requires_grad_()
    loss = lambda x: sigmoid_focal_loss(x, target, 2.0, 0.25, weight, 'mean')  # noqa: E731
    assert gradcheck(loss, smooth)


@pytest.mark.parametrize('score', [-120.0, -90.0, -20.0, 20.0, 90.0])
def test_scores_that_are_surely_wrong_keep_their_gradient(score):
    """For p of 0 or 1 in float32: minus alpha for the own class, 1 - alpha for another."""
    scores = torch.tensor([[score, score]], requires_grad=True)
    sigmoid_focal_loss(scores, torch.tensor([0]), 2.0, 0.25, None, 'sum').backward()
    positive, negative = scores.grad[0].tolist()
    if score < 0:
        # alpha (1 - p) (log p ...) with p = e^score: the factor of p vanishes.
        assert positive == pytest.approx(-0.25, abs=1e-4) and negative == pytest.approx(0, abs=1e-6)
    else:
        assert negative == pytest.approx(0.75, abs=1e-4) and positive == pytest.approx(0, abs=1e-6)


def test_a_target_of_no_class_is_background():
    loss = sigmoid_focal_loss(
        torch.tensor([[0.3, -0.2]]), torch.tensor([2]), 2.0, 0.25, None, 'none'
    )
    p = torch.tensor([[0.3, -0.2]]).sigmoid()
    torch.testing.assert_close(loss, -0.75 * p**2 * (1 - p).log())


def test_overlaps_of_rotated_boxes(generator):
    a = torch.rand(1, 200, 5, generator=generator) * torch.tensor([4, 4, 3, 3, 6.3])
    b = torch.rand(1, 200, 5, generator=generator) * torch.tensor([4, 4, 3, 3, 6.3])
    a[..., 2:4] += 0.5
    b[..., 2:4] += 0.5
    b[0, 0] = a[0, 0]  # the same box
    b[0, 1] = a[0, 1] * torch.tensor([1, 1, 0.5, 0.5, 1])  # one inside the other
    b[0, 2, 0] += 50  # apart
    found = diff_iou_rotated_2d(a, b)[0]

    def polygon(x, y, w, h, angle):
        upright = rectangle(-w / 2, -h / 2, w / 2, h / 2)
        return translate(rotate(upright, angle, (0, 0), use_radians=True), x, y)

    for value, first, second in zip(found.tolist(), a[0].tolist(), b[0].tolist(), strict=True):
        first, second = polygon(*first), polygon(*second)
        expected = first.intersection(second).area / first.union(second).area
        assert value == pytest.approx(expected, abs=1e-4)
    # Gradients of the overlap follow finite differences.
    small = a[:, 3:9].double().requires_grad_()
    other = a[:, 3:9].double() * 1.1 + 0.05
    assert gradcheck(lambda x: diff_iou_rotated_2d(x, other), small, atol=1e-4)
