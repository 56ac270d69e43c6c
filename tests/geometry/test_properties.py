"""Laws that geometry obeys for any motion, camera and point; drawn by hypothesis, in float64."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from nclr_mm.geometry import (
    crop_intrinsics,
    epnp,
    euler_to_matrix,
    flip_intrinsics,
    full_precision,
    in_image,
    invert,
    is_rigid,
    make_rigid,
    normalise_pixels,
    occlusion_mask,
    pixel_occupancy,
    project,
    rotation_angle,
    scale_intrinsics,
    transform_points,
)

HEIGHT, WIDTH = 7, 11
laws = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def number(low, high):
    return st.floats(low, high, allow_subnormal=False)


def vectors(count, size, low, high):
    """Tensors (count, size)."""
    rows = st.lists(number(low, high), min_size=count * size, max_size=count * size)
    return rows.map(lambda values: torch.tensor(values, dtype=torch.float64).view(count, size))


#: rotations (3, 3), by SciPy, so that those of the package are not their own judge
rotations = st.tuples(*[number(-math.pi, math.pi)] * 3).map(
    lambda vector: torch.from_numpy(Rotation.from_rotvec(vector).as_matrix())
)
motions = st.builds(
    lambda rotation, shift: make_rigid(rotation, shift[0]), rotations, vectors(1, 3, -100, 100)
)
points = vectors(6, 3, -50, 50)
cameras = st.builds(
    lambda fx, fy, skew, cx, cy: torch.tensor(
        [[fx, skew, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64
    ),
    *(number(50, 2000), number(50, 2000), number(-5, 5), number(-500, 2000), number(-500, 2000)),
)
seen = st.builds(
    lambda xy, z: torch.cat([xy * z, z], -1), vectors(6, 2, -2, 2), vectors(6, 1, 0.5, 80)
)


def close(a, b, atol=1e-9):
    torch.testing.assert_close(a, b, atol=atol, rtol=1e-9)


@laws
@given(motions, motions, motions)
def test_motions_are_a_group(a, b, c):
    eye = torch.eye(4, dtype=torch.float64)
    close(invert(a) @ a, eye)
    close(a @ invert(a), eye)
    close(invert(invert(a)), a)
    close(invert(a @ b), invert(b) @ invert(a))
    assert is_rigid(torch.stack([a, invert(a), a @ b, a @ b @ c])).all()


@laws
@given(motions, motions, points)
def test_points_are_moved_as_motions_compose(a, b, x):
    close(transform_points(a @ b, x), transform_points(a, transform_points(b, x)))
    close(transform_points(invert(a), transform_points(a, x)), x)
    moved = transform_points(a, x)
    close(torch.cdist(moved, moved), torch.cdist(x, x), atol=1e-6)


@laws
@given(rotations, vectors(1, 3, -100, 100), number(1.001, 2))
def test_what_is_rigid(rotation, shift, scale):
    T = make_rigid(rotation, shift[0])
    close(T[:3, :3], rotation)
    close(T[:3, 3], shift[0])
    assert is_rigid(T)
    mirror = torch.diag(torch.tensor([1.0, 1, -1], dtype=torch.float64))
    for wrong in (scale * rotation, rotation / scale, rotation @ mirror):
        assert not is_rigid(make_rigid(wrong, shift[0]))


@laws
@given(rotations, rotations, rotations)
def test_angles_between_rotations_are_a_distance(a, b, c):
    angle = rotation_angle(a, b)
    assert 0 <= angle <= math.pi + 1e-9
    close(angle, rotation_angle(b, a))
    close(rotation_angle(c @ a, c @ b), angle, atol=1e-7)
    close(rotation_angle(a @ c, b @ c), angle, atol=1e-7)
    assert rotation_angle(a, a) < 1e-7
    assert rotation_angle(a, c) <= angle + rotation_angle(b, c) + 1e-7
    expected = Rotation.from_matrix((a.T @ b).numpy()).magnitude()
    assert abs(angle.item() - expected) < 1e-6


@laws
@given(*[number(-10, 10)] * 4)
def test_turns_about_one_axis_add_up(roll, pitch, yaw, more):
    roll, pitch, yaw, more = (
        torch.tensor(x, dtype=torch.float64) for x in (roll, pitch, yaw, more)
    )
    zero = torch.zeros_like(roll)
    close(
        euler_to_matrix(zero, zero, more) @ euler_to_matrix(roll, pitch, yaw),
        euler_to_matrix(roll, pitch, yaw + more),
    )
    whole = euler_to_matrix(roll + 2 * math.pi, pitch, yaw)
    close(whole, euler_to_matrix(roll, pitch, yaw))
    assert is_rigid(make_rigid(whole, torch.zeros(3).double()))


@laws
@given(cameras, seen, number(0.1, 10))
def test_rays_are_projected_to_a_pixel_and_back(K, x, factor):
    uv, depth = project(x, K)
    close(depth, x[:, 2])
    close(project(factor * x, K)[0], uv, atol=1e-6)
    rays = normalise_pixels(uv, K)
    close(rays * depth[:, None], x[:, :2], atol=1e-6)


@laws
@given(cameras, seen, number(0.1, 4), number(0.1, 4), number(-300, 300), number(-300, 300))
def test_intrinsics_go_with_their_image(K, x, sx, sy, left, top):
    """What is done to the image is done to its pixels, and can be undone."""
    uv = project(x, K)[0]
    scale = torch.tensor([sx, sy], dtype=torch.float64)
    # Pixel centres are at integers, so that the image begins half a pixel before the first.
    close(project(x, scale_intrinsics(K, sx, sy))[0], (uv + 0.5) * scale - 0.5, atol=1e-6)
    close(scale_intrinsics(scale_intrinsics(K, sx, sy), 1 / sx, 1 / sy), K)
    shift = torch.tensor([left, top], dtype=torch.float64)
    close(project(x, crop_intrinsics(K, left, top))[0], uv - shift, atol=1e-6)
    close(crop_intrinsics(crop_intrinsics(K, left, top), -left, -top), K)
    flipped = project(x, flip_intrinsics(K, 640))[0]
    close(flipped, torch.stack([639 - uv[:, 0], uv[:, 1]], -1), atol=1e-6)
    close(flip_intrinsics(flip_intrinsics(K, 640), 640), K)


@laws
@given(vectors(8, 2, -5, 15), vectors(8, 1, -2, 30))
def test_pixels_in_the_image_are_those_of_its_map(uv, depth):
    """A map with a cell for each pixel shows the points in the image, and no others."""
    inside = in_image(uv, depth[:, 0], HEIGHT, WIDTH)
    assert not inside[depth[:, 0] <= 0].any()
    occupied = pixel_occupancy(uv, inside, HEIGHT, WIDTH)
    assert occupied.any() == inside.any() and occupied.sum() <= inside.sum()
    # Mirrored, the map is the mirrored map.
    flipped = torch.stack([WIDTH - 1 - uv[:, 0], uv[:, 1]], -1)
    if ((uv - 0.5) % 1 > 1e-9).all():  # not on the border of two pixels, which belongs to one
        mirrored = pixel_occupancy(flipped, inside, HEIGHT, WIDTH)
        assert torch.equal(mirrored, occupied.flip(-1))
    # More points never empty a cell.
    some = inside.clone()
    some[::2] = False
    assert (occupied | ~pixel_occupancy(uv, some, HEIGHT, WIDTH)).all()


@laws
@given(vectors(12, 2, -1, 11), vectors(12, 1, 0.5, 60), st.permutations(range(12)))
def test_nearer_surfaces_hide(uv, depth, order):
    depth, inside = depth[:, 0], torch.ones(12, dtype=torch.bool)
    hidden = occlusion_mask(uv, depth, inside, HEIGHT, WIDTH)
    assert not hidden[depth.argmin()]
    # The order of points says nothing, one point less hides no more, and a wider square no less.
    close(occlusion_mask(uv[order], depth[order], inside, HEIGHT, WIDTH), hidden[order])
    fewer = inside.clone()
    fewer[order[0]] = False
    left = occlusion_mask(uv, depth, fewer, HEIGHT, WIDTH)
    assert (~left | hidden).all()
    assert (occlusion_mask(uv, depth, inside, HEIGHT, WIDTH, radius=2) | ~hidden).all()


@settings(laws, max_examples=25)
@given(motions, motions, st.integers(0, 1000), st.permutations(range(12)), number(0.01, 100))
def test_poses_go_with_their_frame(pose, frame, seed, order, factor):
    """The pose of moved points is the pose times the motion back; order and unit of weights say
    nothing."""
    rng = np.random.default_rng(seed)
    camera = torch.from_numpy(rng.uniform([-0.5, -0.3, 1], [0.5, 0.3, 1], (12, 3)))
    camera = camera * torch.from_numpy(rng.uniform(2, 50, (12, 1)))
    x = transform_points(invert(pose), camera)
    uv = camera[:, :2] / camera[:, 2:]
    weights = torch.from_numpy(rng.uniform(0.1, 1, 12))
    variants = [
        (x, uv, weights),
        (transform_points(frame, x), uv, weights),
        (x[order], uv[order], weights[order]),
        (x, uv, factor * weights),
    ]
    result = epnp(*(torch.stack(parts) for parts in zip(*variants)))
    assert result.valid.all()
    found = make_rigid(result.R, result.t)
    found[1] = found[1] @ frame
    torch.testing.assert_close(found, pose.expand(4, 4, 4), atol=1e-4, rtol=0)


@laws
@given(
    st.sampled_from([torch.half, torch.bfloat16, torch.float32, torch.float64]),
    st.sampled_from([torch.half, torch.bfloat16, torch.float32, torch.float64]),
)
def test_precision_is_that_of_the_best_argument(first, second):
    same = full_precision(lambda a, b: a + b)
    for autocast in (True, False):
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
            result = same(torch.ones(2, dtype=first), torch.ones(2, dtype=second))
    best = torch.promote_types(torch.promote_types(first, second), torch.float32)
    assert result.dtype == best
