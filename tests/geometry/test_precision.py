"""Every function of the room computes in float32 at least.

Oracle: the function without autocast, on arguments of the same values in float32.
"""

import inspect

import pytest
import torch

from nclr_mm import geometry
from tests.geometry.test_rigid import random_rigid


def coarse(values):
    """Values that bfloat16 holds, in float32."""
    return values.bfloat16().float()


torch.manual_seed(0)
T = coarse(random_rigid(500, dtype=torch.float32))
POINTS = coarse(torch.rand(500, 20, 3) * 20 + 5)
K = coarse(torch.tensor([[201.0, 0, 191], [0, 199, 127], [0, 0, 1]]))
UV = coarse(torch.rand(500, 20, 2) * 400)
DEPTH = coarse(torch.rand(500, 20) * 60 + 1)
INSIDE = torch.ones(500, 20, dtype=torch.bool)
ANGLES = coarse(torch.rand(3, 500) * 6 - 3)
CASES = {
    'make_rigid': (T[:, :3, :3], T[:, :3, 3]),
    'invert': (T,),
    'transform_points': (T, POINTS),
    'rotation_angle': (T[:, :3, :3], T[:1, :3, :3]),
    'euler_to_matrix': tuple(ANGLES),
    'is_rigid': (T, 0.004),
    'project': (POINTS, K),
    'in_image': (UV, DEPTH, 301, 301),
    'scale_intrinsics': (K, 0.3, 0.7),
    'flip_intrinsics': (K, 384),
    'crop_intrinsics': (K, 33, 21),
    'normalise_pixels': (UV, K),
    'pixel_occupancy': (UV, INSIDE, 400, 400),
    'occlusion_mask': (UV // 40, DEPTH, INSIDE, 10, 10),
    'epnp': (POINTS[:4], coarse(POINTS[:4, :, :2] / POINTS[:4, :, 2:])),
}


def test_every_function_has_a_case():
    functions = {name for name in geometry.__all__ if name[0].islower()}
    assert CASES.keys() == functions - {'full_precision'}


def results(function, arguments, half):
    if half:
        arguments = [
            x.bfloat16() if torch.is_tensor(x) and x.is_floating_point() else x for x in arguments
        ]
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=half):
        found = function(*arguments)
    return found if isinstance(found, tuple) else (found,)


def same(function, arguments):
    """Whether bfloat16 arguments and autocast change nothing."""
    pairs = zip(*(results(function, arguments, half) for half in (True, False)), strict=True)
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize('name', CASES)
def test_half_precision_and_autocast_change_nothing(name):
    assert same(getattr(geometry, name), CASES[name])


@pytest.mark.parametrize('name', CASES)
def test_without_the_guard_they_would(monkeypatch, name):
    function = getattr(geometry, name)
    if name == 'epnp':
        solve = function.__globals__['_solve']
        monkeypatch.setitem(function.__globals__, '_solve', solve.__wrapped__)
    else:
        function = inspect.unwrap(function)
    try:
        assert not same(function, CASES[name])
    except RuntimeError as error:
        assert 'BFloat16' in str(error) or 'dtype' in str(error)
