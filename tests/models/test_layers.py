"""Layers of the calibration head against plain references."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from nclr_mm.models.layers.alignment import CosineAlignment, SymmetricAlignment
from nclr_mm.models.layers.fusion import CrossAttention, CrossModalFusion
from nclr_mm.models.layers.matching import (
    nearest_pixels,
    pixel_grid,
    refine_pixels,
    soft_argmax,
)
from nclr_mm.models.layers.sampling import draw_masked


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_symmetric_alignment_starts_as_the_cosine():
    a, b = torch.randn(5, 16), torch.randn(7, 16)
    align = SymmetricAlignment(16)
    expected = F.cosine_similarity(a[:, None], b[None], dim=-1)
    torch.testing.assert_close(align(a) @ align(b).T, expected)
    plain = CosineAlignment(16)
    torch.testing.assert_close(plain(a) @ plain(b).T, expected)
    assert not list(plain.parameters())


def test_symmetric_alignment_is_a_symmetric_form_and_learns():
    align = SymmetricAlignment(8)
    with torch.no_grad():
        align.transform.copy_(torch.randn(8, 8))
    a, b = torch.randn(5, 8), torch.randn(7, 8)
    w = align.transform.T @ align.transform
    expected = F.normalize(a, dim=-1) @ w @ F.normalize(b, dim=-1).T
    torch.testing.assert_close(align(a) @ align(b).T, expected)
    torch.testing.assert_close(align(b) @ align(a).T, expected.T)
    values, vectors = torch.linalg.eigh(w)  # W = Q D Q^T
    assert (values > -1e-5).all()
    torch.testing.assert_close(vectors @ values.diag() @ vectors.T, w, atol=1e-4, rtol=1e-4)
    (align(a) @ align(b).T).sum().backward()
    assert align.transform.grad.abs().sum() > 0


@pytest.mark.parametrize('num_heads', [1, 4])
def test_cross_attention_equals_torch_multihead_attention(num_heads):
    layer = CrossAttention(16, num_heads, 0.0)
    queries, context = torch.randn(2, 5, 16), torch.randn(2, 9, 16)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 6:] = False
    reference = torch.nn.MultiheadAttention(16, num_heads, batch_first=True)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key_value.weight]))
        reference.in_proj_bias.copy_(torch.cat([layer.query.bias, layer.key_value.bias]))
        reference.out_proj.load_state_dict(layer.out.state_dict())
    normed = layer.norm_context(context)
    expected, _ = reference(layer.norm_query(queries), normed, normed, key_padding_mask=~mask)
    torch.testing.assert_close(layer(queries, context, mask), queries + expected)


def test_fusion_trains_both_directions_in_every_layer():
    fusion = CrossModalFusion(16, num_layers=2, num_heads=2, ffn_ratio=2.0)
    points, pixels = torch.randn(2, 5, 16), torch.randn(2, 12, 16)
    out_points, out_pixels = fusion(points, pixels, torch.ones(2, 5, dtype=torch.bool))
    (out_points.square().sum() + out_pixels.square().sum()).backward()
    untrained = [n for n, p in fusion.named_parameters() if p.grad is None or not p.grad.any()]
    assert untrained == []


def test_fusion_ignores_padding_and_stays_finite_without_any_voxel():
    fusion = CrossModalFusion(16)
    points, pixels = torch.randn(1, 5, 16), torch.randn(1, 12, 16)
    mask = torch.tensor([[True, True, True, False, False]])
    _, full = fusion(points[:, :3], pixels)
    changed = points.clone()
    changed[:, 3:] = 100.0
    for x in (points, changed):
        torch.testing.assert_close(fusion(x, pixels, mask)[1], full)
    none = fusion(points, pixels, torch.zeros_like(mask))
    assert all(x.isfinite().all() for x in none)


def test_fusion_memory_is_linear_also_with_padding():
    """Eight times the queries may not cost more than about eight times the memory."""
    from torch.profiler import ProfilerActivity, profile

    layer = CrossAttention(8, 1, 0.0)

    def peak(queries):
        context = torch.randn(1, 512, 8)
        mask = torch.arange(512)[None] < 500
        with (
            torch.no_grad(),
            profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled,
        ):
            layer(torch.randn(1, queries, 8), context, mask)
        return max(e.self_cpu_memory_usage for e in profiled.key_averages())

    assert peak(8192) < 4 * 8192 * 512  # bytes; the matrix of weights alone would have four times


def test_draw_masked_has_no_repeats_and_only_true_entries():
    mask = torch.rand(4, 3, 50) > 0.5
    mask[0, 0] = False
    index, valid = draw_masked(mask, 30)
    assert index.shape == valid.shape == (4, 3, 30)
    for i, j in itertools.product(range(4), range(3)):
        chosen = index[i, j][valid[i, j]].tolist()
        assert len(chosen) == len(set(chosen)) == min(30, int(mask[i, j].sum()))
        assert mask[i, j][chosen].all()
    index, valid = draw_masked(mask, 80)
    assert index.shape[-1] == 80 and (valid.sum(-1) == mask.sum(-1)).all()


def test_draw_masked_prefers_a_fraction_and_is_uniform_otherwise():
    mask = torch.ones(1, 100, dtype=torch.bool)
    mask[0, 90:] = False
    preferred = torch.zeros_like(mask)
    preferred[0, :15] = True
    preferred[0, 95:] = True  # not in the mask: never drawn
    hits = torch.zeros(100)
    for _ in range(400):
        index, valid = draw_masked(mask, 20, preferred, 0.5)
        assert valid.all() and (index < 90).all()
        assert preferred[0, index[0]].sum() >= 10
        hits[index[0]] += 1
    assert hits[:15].min() > 200
    index, valid = draw_masked(mask, 20, preferred, 1.0)
    assert preferred[0, index[0]].sum() == 15 and valid.all()


def test_soft_argmax_at_low_temperature_is_the_best_pixel():
    points, pixels = torch.randn(2, 6, 8), torch.randn(2, 20, 8)
    grid = pixel_grid(4, 5, points.device)
    assert grid[7].tolist() == [2, 1]
    best = (points @ pixels.transpose(1, 2)).argmax(-1)
    cells = soft_argmax(points, pixels, grid, 1e-4)
    torch.testing.assert_close(cells, grid[best].float())


def test_nearest_pixels_equals_brute_force_for_any_chunk():
    points, pixels = torch.randn(2, 40, 8), torch.randn(2, 30, 8)
    mask = torch.rand(2, 40) > 0.3
    similarity = points @ pixels.transpose(1, 2)
    for chunk in (1, 7, 100):
        value, pixel, mutual = nearest_pixels(points, pixels, mask, chunk)
        torch.testing.assert_close(value, similarity.amax(-1))
        for n in range(2):
            for i in range(40):
                j = int(similarity[n, i].argmax())
                assert int(pixel[n, i]) == j
                rivals = [k for k in range(40) if mask[n, k]]
                is_best = bool(rivals) and i == max(rivals, key=lambda k: similarity[n, k, j])
                assert bool(mutual[n, i]) == is_best


def test_refinement_finds_the_peak_between_cells():
    # Similarities of a parabola-like bump centred between cells.
    height, width, peak = 8, 9, torch.tensor([4.3, 2.6])
    grid = pixel_grid(height, width, peak.device).float()
    logits = -((grid - peak) ** 2).sum(-1) / 2
    points, pixels = torch.ones(1, 1, 1), logits[None, :, None]
    best = logits.argmax().view(1, 1)
    cell = refine_pixels(points, pixels, best, height, width, 1.0, 5)
    assert (cell[0, 0] - peak).abs().max() < 0.15
    assert refine_pixels(points, pixels, best, height, width, 1.0, 1)[0, 0].tolist() == [4.0, 3.0]
    corner = refine_pixels(
        points, pixels, torch.zeros(1, 1, dtype=torch.long), height, width, 1.0, 5
    )
    assert corner.isfinite().all() and (corner >= 0).all()
