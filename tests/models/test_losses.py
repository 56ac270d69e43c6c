"""Losses against plain, slow references."""

import math

import pytest
import torch
import torch.distributed as dist

from nclr_mm.models.losses import OverlapLoss, PointInfoNCE, PoseLoss
from tests.processes import run_in_processes


def slow_info_nce(points, pixels, mask, same, temperature):
    total, count = 0.0, 0
    for b in range(len(points)):
        for k in range(points.shape[1]):
            if not mask[b, k]:
                continue
            others = [
                j
                for j in range(points.shape[1])
                if mask[b, j] and (j == k or not (same is not None and same[b, k, j]))
            ]
            scores = [float(points[b, k] @ pixels[b, j]) / temperature for j in others]
            own = float(points[b, k] @ pixels[b, k]) / temperature
            total += math.log(sum(math.exp(s - own) for s in scores))
            count += 1
    return total / count


@pytest.mark.parametrize('with_same', [False, True])
def test_info_nce_equals_a_loop(with_same):
    torch.manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(2, 9, 4), dim=-1)
    pixels = torch.nn.functional.normalize(torch.randn(2, 9, 4), dim=-1)
    mask = torch.rand(2, 9) > 0.3
    same = None
    if with_same:
        same = torch.rand(2, 9, 9) > 0.7
        same = same | same.transpose(1, 2)
    loss = PointInfoNCE(0.07)(points, pixels, mask, same)
    assert float(loss) == pytest.approx(slow_info_nce(points, pixels, mask, same, 0.07), rel=1e-4)
    both = PointInfoNCE(0.07, symmetric=True, loss_weight=3.0)(points, pixels, mask, same)
    other = slow_info_nce(pixels, points, mask, same, 0.07)
    assert float(both) == pytest.approx(1.5 * (float(loss) + other), rel=1e-4)


#: samples of each process
SAMPLES = (2, 1, 1)


def gathered_case():
    """Embeddings of a batch of 4, of which the last sample has no pair, and what excludes what."""
    generator = torch.Generator().manual_seed(0)
    points, pixels = torch.nn.functional.normalize(
        torch.randn(2, 4, 9, 5, generator=generator), dim=-1
    )
    mask = torch.rand(4, 9, generator=generator) > 0.3
    mask[3] = False
    same = torch.rand(4, 9, 9, generator=generator) > 0.7
    return points, pixels, mask, same | same.transpose(1, 2)


def gathered_loss(points, pixels, mask, same):
    points, pixels = points.clone().requires_grad_(), pixels.clone().requires_grad_()
    loss = PointInfoNCE(0.07, symmetric=True, loss_weight=2.0, gather_negatives=True)(
        points, pixels, mask, same
    )
    loss.backward()
    return dict(loss=loss.detach(), points=points.grad, pixels=pixels.grad)


def loss_of_a_process():
    first = sum(SAMPLES[: dist.get_rank()])
    part = slice(first, first + SAMPLES[dist.get_rank()])
    return gathered_loss(*(values[part] for values in gathered_case()))


def test_gathered_negatives_equal_a_loop_over_all_pairs():
    points, pixels, mask, same = gathered_case()
    # One sample with all pairs, of which none excludes one of another sample.
    flat = torch.block_diag(*same).bool()[None]
    one = [values.flatten(0, 1)[None] for values in (points, pixels, mask)]
    expected = slow_info_nce(*one, flat, 0.07)
    expected += slow_info_nce(one[1], one[0], one[2], flat, 0.07)
    assert float(gathered_loss(points, pixels, mask, same)['loss']) == pytest.approx(
        expected, rel=1e-4
    )


def test_gathered_negatives_give_the_gradients_of_one_process_with_the_whole_batch(tmp_path):
    parts = run_in_processes(loss_of_a_process, len(SAMPLES), tmp_path / 'run')
    whole = gathered_loss(*gathered_case())
    number = len(SAMPLES)
    mean = sum(part['loss'] for part in parts) / number
    torch.testing.assert_close(mean, whole['loss'])
    for name in ('points', 'pixels'):
        # Distributed training averages the gradients.
        found = torch.cat([part[name] for part in parts]) / number
        assert whole[name].abs().max() > 0.01
        torch.testing.assert_close(found, whole[name])


def test_info_nce_of_equal_features_is_log_of_the_number():
    points = torch.ones(1, 10, 4) / 2
    loss = PointInfoNCE(0.07)(points, points, torch.ones(1, 10, dtype=torch.bool))
    assert float(loss) == pytest.approx(math.log(10), rel=1e-5)


def test_info_nce_without_pairs_is_zero_with_a_zero_gradient():
    points = torch.randn(2, 5, 4, requires_grad=True)
    loss = PointInfoNCE(0.07, symmetric=True)(points, points, torch.zeros(2, 5, dtype=torch.bool))
    loss.backward()
    assert float(loss) == 0 and float(points.grad.abs().sum()) == 0


def test_info_nce_refuses_a_bad_temperature():
    with pytest.raises(ValueError, match='temperature'):
        PointInfoNCE(0.0)


def test_overlap_loss_is_the_mean_cross_entropy_over_the_mask():
    logits = torch.tensor([0.0, 2.0, -1.0, 50.0])
    target = torch.tensor([True, True, False, False])
    mask = torch.tensor([True, True, True, False])
    expected = (math.log(2) + math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 3
    assert float(OverlapLoss(2.0)(logits, target, mask)) == pytest.approx(2 * expected, rel=1e-5)
    # On logits, a wrong and certain answer costs its margin and not infinity.
    assert float(OverlapLoss()(torch.tensor([200.0]), torch.tensor([False]))) == pytest.approx(200)
    assert float(OverlapLoss()(logits, target, torch.zeros(4, dtype=torch.bool))) == 0


def test_pose_loss_by_hand():
    target = torch.eye(4).repeat(3, 1, 1)
    rotation = torch.eye(3).repeat(3, 1, 1)
    rotation[0, 0, 0] = 0.8  # 0.5 * 0.2^2 over nine entries
    translation = torch.tensor([[2.0, 0, 0], [0, 0, 0.5], [1e9, 0, 0]])
    valid = torch.tensor([True, True, False])
    loss_r, loss_t = PoseLoss(1.0, 0.01)(rotation, translation, target, valid)
    assert float(loss_r) == pytest.approx(0.02 / 9 / 2, rel=1e-4)
    assert float(loss_t) == pytest.approx(0.01 * (1.5 / 3 + 0.125 / 3) / 2, rel=1e-5)
    loss_r, loss_t = PoseLoss()(rotation, translation, target, torch.zeros(3, dtype=torch.bool))
    assert float(loss_r) == float(loss_t) == 0
