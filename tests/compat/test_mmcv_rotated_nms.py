"""Oracle: mmcv's own slow version."""

import mmcv.ops
import pytest
import torch
from mmcv.utils import ext_loader

import nclr_mm  # noqa: F401 (applies the workaround)


def boxes(number: int, seed: int, spread: float):
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(number, 2, generator=generator) * spread
    size = torch.rand(number, 2, generator=generator) * 4 + 0.5
    angle = torch.rand(number, 1, generator=generator) * 7 - 3.5
    return torch.cat([center, size, angle], dim=1), torch.rand(number, generator=generator)


@pytest.fixture
def own(monkeypatch):
    """mmcv's function on its own extension."""
    extension = ext_loader.load_ext('_ext', ['nms_rotated'])

    def run(*args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(extension, 'nms_rotated', extension.nms_rotated.__wrapped__)
            return mmcv.ops.nms_rotated(*args, **kwargs)

    return run


@pytest.mark.parametrize('threshold', [0.01, 0.1, 0.5, 0.8])
@pytest.mark.parametrize('spread', [3.0, 30.0, 300.0])
def test_it_keeps_what_mmcv_keeps(own, threshold, spread):
    dets, scores = boxes(400, 0, spread)
    dets[:20] = dets[20:40]  # equal boxes
    found = mmcv.ops.nms_rotated(dets, scores, threshold)
    expected = own(dets, scores, threshold)
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[0], expected[0])


def test_boxes_of_different_labels_leave_each_other_alone(own):
    dets, scores = boxes(300, 1, 10.0)
    labels = torch.arange(300) % 3
    expected = []
    for label in range(3):
        mine = (labels == label).nonzero()[:, 0]
        expected += mine[own(dets[mine], scores[mine], 0.2)[1]].tolist()
    found = mmcv.ops.nms_rotated(dets, scores, 0.2, labels.float())[1]
    assert found.tolist() == sorted(expected, key=lambda i: -scores[i])
    assert len(found) > len(mmcv.ops.nms_rotated(dets, scores, 0.2)[1])


def test_boxes_of_any_size_and_those_that_are_not_finite(own):
    dets, scores = boxes(300, 2, 30.0)
    dets[7, 2:4] = 500.0
    dets[11, 0], dets[12, 3], dets[13, 4] = torch.nan, torch.inf, torch.nan
    finite = dets.isfinite().all(dim=1).nonzero()[:, 0]
    found = mmcv.ops.nms_rotated(dets, scores, 0.3)[1]
    expected = finite[own(dets[finite], scores[finite], 0.3)[1]]
    assert torch.equal(found[torch.isin(found, finite)], expected)
    assert {11, 12, 13} <= set(found.tolist())


def test_one_box():
    dets, scores = boxes(1, 0, 1.0)
    assert mmcv.ops.nms_rotated(dets, scores, 0.5)[1].tolist() == [0]


def test_upstream_fault(own):
    """The slow version intersects all pairs: boxes far apart cost it as much as near ones."""
    import time

    dets, scores = boxes(2000, 2, 3000.0)
    start = time.perf_counter()
    own(dets, scores, 0.5)
    middle = time.perf_counter()
    mmcv.ops.nms_rotated(dets, scores, 0.5)
    assert middle - start > 3 * (time.perf_counter() - middle)
