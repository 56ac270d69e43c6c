import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nclr_mm.geometry import (
    crop_intrinsics,
    flip_intrinsics,
    in_image,
    normalise_pixels,
    project,
    scale_intrinsics,
)

K = torch.tensor([[400.0, 0.0, 210.0], [0.0, 390.0, 110.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


def random_points(*shape, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-10, -5, 2], [10, 5, 50], (*shape, 3))
    return torch.from_numpy(points)


def test_project_against_opencv():
    points = random_points(50)
    expected, _ = cv2.projectPoints(points.numpy(), np.zeros(3), np.zeros(3), K.numpy(), None)
    uv, depth = project(points, K)
    np.testing.assert_allclose(uv.numpy(), expected[:, 0], atol=1e-9)
    assert torch.equal(depth, points[:, 2])


def test_project_broadcasts_over_cameras():
    points, cameras = random_points(2, 1, 5), K.repeat(3, 1, 1)
    cameras[1, 0, 0], cameras[2, 0, 1] = -400, 3.5
    uv, depth = project(points, cameras)
    assert uv.shape == (2, 3, 5, 2)
    assert depth.shape == (2, 3, 5)
    for b in range(2):
        for v in range(3):
            homogeneous = points[b, 0].numpy() @ cameras[v].numpy().T
            expected = homogeneous[:, :2] / homogeneous[:, 2:]
            np.testing.assert_allclose(uv[b, v].numpy(), expected, atol=1e-9)


def test_project_gradient():
    points = random_points(6).requires_grad_()
    cameras = K.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p, k: project(p, k)[0], (points, cameras))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3))
def test_project_and_its_gradient_are_finite_everywhere(point):
    points = torch.tensor([point], dtype=torch.float32, requires_grad=True)
    uv, depth = project(points, K.float())
    (uv.sum() + depth.sum()).backward()
    assert torch.isfinite(uv).all()
    assert torch.isfinite(points.grad).all()


@pytest.mark.parametrize('depth', [0.0, -0.0, -1.0, 1e-30])
def test_points_not_in_front_are_finite_and_never_inside(depth):
    points = torch.tensor([[0.0, 0.0, depth], [1.0, -1.0, depth]], requires_grad=True)
    uv, z = project(points, K.float())
    uv.sum().backward()
    assert torch.isfinite(uv).all()
    assert torch.isfinite(points.grad).all()
    assert not in_image(uv, z, 224, 416).any()


def test_in_image_borders():
    uv = torch.tensor(
        [[-0.5, -0.5], [-0.51, 0], [415.49, 223.49], [415.5, 0], [0, 223.5], [float('nan'), 0]]
    )
    inside = in_image(uv, torch.ones(6), height=224, width=416)
    assert inside.tolist() == [True, False, True, False, False, False]
    assert not in_image(uv, -torch.ones(6), 224, 416).any()
    assert not in_image(uv[:1], torch.ones(1), 224, 416, min_depth=1.0).any()


def test_scale_follows_the_pixel_centre_rule_of_opencv_resize():
    # A ramp keeps the value of its place under bilinear resizing, so values tell positions.
    ramp = np.tile(np.arange(64, dtype=np.float32), (8, 1))
    for width in (32, 128, 96):
        resized = cv2.resize(ramp, (width, 8), interpolation=cv2.INTER_LINEAR)[0]
        scale = width / 64
        camera = scale_intrinsics(torch.eye(3), scale, 1.0)
        inner = slice(4, width - 4)
        old_u = torch.from_numpy(resized[inner])
        new_u = old_u * camera[0, 0] + camera[0, 2]
        np.testing.assert_allclose(new_u.numpy(), np.arange(width)[inner], atol=1e-4)


def test_chain_of_changes_follows_the_pixels():
    skewed = K.clone()
    skewed[0, 1] = 2.0
    points = random_points(20)
    uv, _ = project(points, skewed)
    u, v = uv.unbind(-1)
    u, v = (u + 0.5) * 0.26 - 0.5, (v + 0.5) * 0.25 - 0.5
    u, v = u - 7, v - 11
    u = 80 - 1 - u
    chained = flip_intrinsics(crop_intrinsics(scale_intrinsics(skewed, 0.26, 0.25), 7, 11), 80)
    new_uv, _ = project(points, chained)
    assert torch.allclose(new_uv, torch.stack([u, v], -1), atol=1e-10)
    assert chained[0, 0] < 0
    assert torch.equal(flip_intrinsics(flip_intrinsics(K, 80), 80), K)


def test_changes_take_one_value_a_camera():
    cameras = K.repeat(3, 1, 1)
    scales = torch.tensor([0.5, 1.0, 2.0])
    scaled = scale_intrinsics(cameras, scales, scales)
    widths = torch.tensor([100, 200, 300])
    flipped = flip_intrinsics(cameras, widths)
    cropped = crop_intrinsics(cameras, widths, 0)
    for i in range(3):
        single = scale_intrinsics(K, float(scales[i]), float(scales[i]))
        assert torch.allclose(scaled[i], single)
        assert torch.equal(flipped[i], flip_intrinsics(K, int(widths[i])))
        assert torch.equal(cropped[i], crop_intrinsics(K, int(widths[i]), 0))


def test_arguments_stay_unchanged():
    before = K.clone()
    scale_intrinsics(K, 0.5, 0.5)
    flip_intrinsics(K, 416)
    crop_intrinsics(K, 3, 4)
    assert torch.equal(K, before)


@pytest.mark.parametrize('mirror', [False, True])
def test_normalise_pixels_inverts_the_intrinsics(mirror):
    camera = K.clone()
    camera[0, 1] = -3.0
    if mirror:
        camera = flip_intrinsics(camera, 416)
    points = random_points(30)
    uv, depth = project(points, camera)
    plane = normalise_pixels(uv, camera)
    assert torch.allclose(plane, points[:, :2] / depth.unsqueeze(-1), atol=1e-12)
    solved = torch.linalg.solve(camera, torch.cat([uv, torch.ones(30, 1)], -1).T)[:2].T
    assert torch.allclose(plane, solved, atol=1e-12)


def test_half_precision_is_lifted_also_under_autocast():
    points = random_points(10).float()
    expected, _ = project(points, K.float())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        uv, _ = project(points, K.float())
        assert scale_intrinsics(K.bfloat16(), 0.5, 0.5).dtype == torch.float32
    assert torch.equal(uv, expected)
    assert project(points.half(), K.half())[0].dtype == torch.float32


@pytest.mark.parametrize(
    ('call', 'words'),
    [
        (lambda: project(torch.zeros(2, 2), K), r'points_cam must have shape \(\.\.\., 3\)'),
        (lambda: project(torch.zeros(2, 3), torch.eye(4)), 'cam2img must have shape'),
        (lambda: in_image(torch.zeros(2, 3), torch.zeros(2), 4, 4), 'uv must have shape'),
        (lambda: scale_intrinsics(torch.eye(4), 1, 1), 'cam2img must have shape'),
        (lambda: flip_intrinsics(torch.eye(4), 1), 'cam2img must have shape'),
        (lambda: crop_intrinsics(torch.eye(4), 1, 1), 'cam2img must have shape'),
        (lambda: normalise_pixels(torch.zeros(2, 3), K), 'uv must have shape'),
    ],
)
def test_wrong_shapes_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
