import math

import numpy as np
import pytest
import torch

from nclr_mm.geometry import occlusion_mask, pixel_occupancy


def scene(*shape, seed=0, height=9, width=13):
    """Points on, round and far off a map, with NaN among those that do not count."""
    rng = np.random.default_rng(seed)
    uv = rng.uniform(-3, [width + 3, height + 3], (*shape, 2))
    depth = rng.uniform(1, 50, shape)
    inside = rng.random(shape) < 0.8
    uv[~inside & (rng.random(shape) < 0.5)] = np.nan
    return torch.from_numpy(uv), torch.from_numpy(depth), torch.from_numpy(inside)


def brute_pixels(uv, inside, height, width):
    """Pixel (row, column) of each point that counts, by the definition of the pixel's square."""
    pixels = {}
    for i, (u, v) in enumerate(uv.tolist()):
        if not inside[i]:
            continue
        for row in range(height):
            for column in range(width):
                if column - 0.5 <= u < column + 0.5 and row - 0.5 <= v < row + 0.5:
                    pixels[i] = (row, column)
    return pixels


def test_occupancy_against_brute_force():
    uv, _, inside = scene(2, 3, 60)
    occupied = pixel_occupancy(uv, inside, 9, 13)
    assert occupied.shape == (2, 3, 9, 13)
    for b in range(2):
        for v in range(3):
            expected = torch.zeros(9, 13, dtype=torch.bool)
            for row, column in brute_pixels(uv[b, v], inside[b, v], 9, 13).values():
                expected[row, column] = True
            assert torch.equal(occupied[b, v], expected)


@pytest.mark.parametrize('radius', [0, 1, 3])
def test_occlusion_against_brute_force(radius):
    uv, depth, inside = scene(2, 150, seed=radius)
    hidden = occlusion_mask(uv, depth, inside, 9, 13, radius, rel_tolerance=0.1, abs_tolerance=0.3)
    for b in range(2):
        pixels = brute_pixels(uv[b], inside[b], 9, 13)
        for i in range(150):
            expected = False
            if i in pixels:
                near = [
                    float(depth[b, j])
                    for j, (row, column) in pixels.items()
                    if max(abs(row - pixels[i][0]), abs(column - pixels[i][1])) <= radius
                ]
                expected = float(depth[b, i]) > min(near) * 1.1 + 0.3
            assert bool(hidden[b, i]) == expected


def test_occlusion_of_a_wall_and_of_a_slanted_road():
    u, v = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing='ij')
    uv = torch.stack([u, v], -1).view(-1, 2)
    road = 5 + 0.3 * uv[:, 1]
    wall = uv[:, 0] < 10
    both = torch.cat([uv, uv[wall]])
    depth = torch.cat([road, torch.full((int(wall.sum()),), 3.0)])
    inside = torch.ones(len(both), dtype=torch.bool)
    hidden = occlusion_mask(both, depth, inside, 20, 20, 1, 0.05, 0.2)
    assert hidden[:400][uv[:, 0] <= 10].all()  # behind the wall, and one pixel beside it
    assert not hidden[:400][uv[:, 0] > 10].any()
    assert not hidden[400:].any()


def test_border_values_stay_on_the_map():
    # The largest float32 below 4095.5: adding 0.5 rounds up to 4096, one pixel too far.
    last = float(np.nextafter(np.float32(4095.5), np.float32(0)))
    uv = torch.tensor([[last, 0.0], [-0.5, -0.5], [4095.5, 0.0]])
    occupied = pixel_occupancy(uv, torch.ones(3, dtype=torch.bool), 1, 4096)
    assert occupied.nonzero().tolist() == [[0, 0], [0, 4095]]


def test_no_points():
    uv, depth = torch.zeros(2, 0, 2), torch.zeros(2, 0)
    inside = torch.zeros(2, 0, dtype=torch.bool)
    assert pixel_occupancy(uv, inside, 4, 5).shape == (2, 4, 5)
    assert not pixel_occupancy(uv, inside, 4, 5).any()
    assert occlusion_mask(uv, depth, inside, 4, 5).shape == (2, 0)


def test_points_that_do_not_count_hide_nothing():
    uv, depth = torch.zeros(2, 2), torch.tensor([1.0, 30.0])
    inside = torch.tensor([False, True])
    assert not occlusion_mask(uv, depth, inside, 4, 5).any()
    uv[0] = math.inf
    assert not occlusion_mask(uv, depth, torch.tensor([True, True]), 4, 5).any()


def test_results_carry_no_graph_and_ignore_autocast():
    uv, depth, inside = scene(80)
    expected = occlusion_mask(uv.float(), depth.float(), inside, 9, 13)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        hidden = occlusion_mask(uv.float().requires_grad_(), depth.float(), inside, 9, 13)
    assert torch.equal(hidden, expected)
    assert not hidden.requires_grad


@pytest.mark.parametrize('dtype', [torch.half, torch.bfloat16])
def test_depths_of_half_precision_are_compared_in_full(dtype):
    """The farther of two points on a pixel is the next value beyond the tolerance, or before it."""
    near = torch.linspace(1, 60, 500).to(dtype).float()
    limit = 1.05 * near + 0.2
    far = torch.stack([limit.to(dtype), (limit * 1.01).to(dtype), (limit * 0.99).to(dtype)])
    depth = torch.stack([near.to(dtype).expand(3, -1), far], dim=-1)
    uv = torch.zeros(3, 500, 2, 2)
    hidden = occlusion_mask(uv, depth, torch.ones(3, 500, 2, dtype=torch.bool), 1, 1)
    expected = far.double() > 1.05 * near.double() + 0.2
    unsure = (far.double() - limit.double()).abs() < 1e-5
    assert not hidden[..., 0].any()
    assert (hidden[..., 1] == expected)[~unsure].all() and unsure.sum() < 50


@pytest.mark.parametrize(
    ('call', 'words'),
    [
        (
            lambda uv, z, ok: pixel_occupancy(uv, ok[:1], 4, 5),
            r'inside must have the shape of uv without its last dimension, \(3,\), got \(1,\)',
        ),
        (lambda uv, z, ok: pixel_occupancy(uv[:, :1], ok, 4, 5), 'uv must have shape'),
        (lambda uv, z, ok: occlusion_mask(uv, z[:1], ok, 4, 5), 'depth must have shape'),
        (lambda uv, z, ok: occlusion_mask(uv, z, ok, 4, 5, radius=-1), 'radius must be 0 or more'),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(torch.zeros(3, 2), torch.ones(3), torch.ones(3, dtype=torch.bool))
