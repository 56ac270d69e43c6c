import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from nclr_mm.geometry import (
    euler_to_matrix,
    invert,
    is_rigid,
    make_rigid,
    rotation_angle,
    transform_points,
)


def random_rigid(*shape, seed=0, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    count = math.prod(shape)
    matrices = np.tile(np.eye(4), (count, 1, 1))
    matrices[:, :3, :3] = Rotation.random(count, random_state=seed).as_matrix()
    matrices[:, :3, 3] = rng.normal(size=(count, 3)) * 20
    return torch.from_numpy(matrices.reshape(*shape, 4, 4)).to(dtype)


def test_invert_against_general_inverse():
    T = random_rigid(2, 5)
    assert torch.allclose(invert(T), torch.linalg.inv(T), atol=1e-12)


def test_make_rigid_broadcasts_rotation_and_translation():
    T = random_rigid(4)
    assert torch.equal(make_rigid(T[:, :3, :3], T[:, :3, 3]), T)
    wide = make_rigid(T[0, :3, :3], T[:, :3, 3])
    assert wide.shape == (4, 4, 4)
    assert torch.equal(wide[3, :3, 3], T[3, :3, 3])


def test_transform_points_against_homogeneous_product():
    T, points = random_rigid(2, 3), torch.randn(2, 1, 7, 3, dtype=torch.float64)
    moved = transform_points(T, points)
    assert moved.shape == (2, 3, 7, 3)
    for b in range(2):
        for v in range(3):
            ones = np.ones((7, 1))
            expected = np.hstack([points[b, 0].numpy(), ones]) @ T[b, v].numpy().T
            np.testing.assert_allclose(moved[b, v].numpy(), expected[:, :3], atol=1e-12)


def test_transform_points_takes_no_points():
    assert transform_points(torch.eye(4), torch.zeros(0, 3)).shape == (0, 3)


@pytest.mark.parametrize('angle', [0.0, 1e-9, 1e-6, 1e-3, 1.0, 3.0, math.pi - 1e-7, math.pi])
def test_rotation_angle_is_accurate_near_zero_and_pi(angle):
    axis = np.array([0.6, -0.48, 0.64])
    base = Rotation.from_euler('zyx', [0.3, -1.0, 2.0])
    turned = base * Rotation.from_rotvec(angle * axis)
    a, b = torch.from_numpy(base.as_matrix()), torch.from_numpy(turned.as_matrix())
    assert abs(float(rotation_angle(a, b)) - angle) < 1e-14 + 1e-9 * angle
    single = float(rotation_angle(a.float(), b.float()))
    assert abs(single - angle) < 5e-7


def test_rotation_angle_gradient():
    a, b = random_rigid(6, seed=1)[:, :3, :3], random_rigid(6, seed=2)[:, :3, :3]
    assert torch.autograd.gradcheck(rotation_angle, (a.requires_grad_(), b.requires_grad_()))


@pytest.mark.parametrize('diagonal', [(1, 1, 1), (1, -1, -1), (-1, -1, 1)])
def test_rotation_angle_gradient_is_finite_at_its_kinks(diagonal):
    R = torch.eye(3, requires_grad=True)
    rotation_angle(R, torch.diag(torch.tensor(diagonal, dtype=torch.float32))).backward()
    assert torch.isfinite(R.grad).all()


def test_euler_to_matrix_against_scipy():
    angles = np.random.default_rng(0).uniform(-4, 4, (50, 3))
    expected = Rotation.from_euler('xyz', angles).as_matrix()  # lower case: fixed axes
    R = euler_to_matrix(*torch.from_numpy(angles).unbind(-1))
    np.testing.assert_allclose(R.numpy(), expected, atol=1e-14)


def test_euler_to_matrix_broadcasts():
    R = euler_to_matrix(torch.zeros(()), torch.zeros(5, 1), torch.zeros(4))
    assert R.shape == (5, 4, 3, 3)


def test_is_rigid_on_hand_made_matrices():
    mirrored = torch.diag(torch.tensor([1.0, 1.0, -1.0, 1.0]))
    scaled = torch.diag(torch.tensor([1.01, 1.01, 1.01, 1.0]))
    sheared, last_row, nan = torch.eye(4), torch.eye(4), torch.eye(4)
    sheared[0, 1] = 0.01
    last_row[3, 0] = 1
    nan[0, 3] = float('nan')
    good = random_rigid(1, dtype=torch.float32)[0]
    stack = torch.stack([good, mirrored, scaled, sheared, last_row, nan])
    assert is_rigid(stack).tolist() == [True, False, False, False, False, False]
    assert is_rigid(scaled, atol=0.05)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.half])
def test_low_precision_is_lifted_also_under_autocast(dtype):
    T, points = random_rigid(dtype=torch.float32), torch.randn(9, 3) * 50
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = invert(T), transform_points(T, points), rotation_angle(T[:3, :3], T[:3, :3].T)
    outside = invert(T), transform_points(T, points), rotation_angle(T[:3, :3], T[:3, :3].T)
    for a, b in zip(inside, outside):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)
    assert transform_points(T, points.to(dtype)).dtype == torch.float32
    assert invert(T.to(dtype)).dtype == torch.float32


def test_double_stays_double():
    assert transform_points(torch.eye(4).double(), torch.zeros(1, 3)).dtype == torch.float64


@pytest.mark.parametrize(
    ('call', 'words'),
    [
        (lambda: invert(torch.eye(3)), r'transform must have shape \(\.\.\., 4, 4\), got \(3, 3\)'),
        (lambda: transform_points(torch.eye(4), torch.zeros(3, 4)), 'points must have shape'),
        (lambda: make_rigid(torch.eye(4), torch.zeros(3)), 'rotation must have shape'),
        (lambda: make_rigid(torch.eye(3), torch.zeros(4)), 'translation must have shape'),
        (lambda: rotation_angle(torch.eye(3), torch.eye(4)), 'rotation_b must have shape'),
        (lambda: is_rigid(torch.zeros(4)), 'transform must have shape'),
    ],
)
def test_wrong_shapes_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=18, max_size=18))
def test_rotation_angle_never_gives_nan(values):
    a, b = torch.tensor(values).view(2, 3, 3).requires_grad_().unbind(0)
    a.retain_grad()
    angle = rotation_angle(a, b)
    angle.backward()
    assert torch.isfinite(angle)
    assert torch.isfinite(a.grad).all()
