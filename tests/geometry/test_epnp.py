import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from nclr_mm.geometry import epnp
from nclr_mm.geometry.pnp_initial import initial_poses
from nclr_mm.geometry.pnp_problem import whiten
from nclr_mm.geometry.pnp_refine import derivatives

FOCAL, WIDTH, HEIGHT = 400.0, 416, 224
PIXEL = 1 / FOCAL


class Problems:
    """Random problems of a camera of 416x224 pixels and points 2 to 50 m away.

    `shape` is 'volume', or 'plane': a patch of about 3 m, tilted at random, 8 to 25 m away.
    The first `outliers` of the correspondences have a random pixel.
    """

    def __init__(self, count, points, noise=0.0, shape='volume', outliers=0.0, seed=0):
        rng = np.random.default_rng(seed)
        middle = np.array([WIDTH / 2, HEIGHT / 2])
        if shape == 'volume':
            plane = (rng.uniform([0, 0], [WIDTH, HEIGHT], (count, points, 2)) - middle) * PIXEL
            depth = rng.uniform(2, 50, (count, points, 1))
            camera = np.concatenate([plane * depth, depth], -1)
        else:
            normal = rng.normal(size=(count, 1, 3))
            normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
            offset = 1.5 * rng.normal(size=(count, points, 3))
            offset -= (offset * normal).sum(-1, keepdims=True) * normal
            camera = rng.uniform([-2, -2, 8], [2, 2, 25], (count, 1, 3)) + offset
        self.R = Rotation.random(count, random_state=seed).as_matrix()
        self.t = 10 * rng.normal(size=(count, 3))
        self.points = torch.from_numpy((camera - self.t[:, None]) @ self.R)
        pixels = camera[..., :2] / camera[..., 2:]
        pixels += noise * PIXEL * rng.normal(size=pixels.shape)
        self.outlier = np.zeros((count, points), bool)
        self.outlier[:, : round(outliers * points)] = True
        wrong = (rng.uniform([0, 0], [WIDTH, HEIGHT], pixels.shape) - middle) * PIXEL
        self.pixels = torch.from_numpy(np.where(self.outlier[..., None], wrong, pixels))

    def errors(self, R, t):
        """Rotation errors in degrees and translation errors in metres."""
        relative = np.asarray(R).transpose(0, 2, 1) @ self.R
        angle = np.rad2deg(Rotation.from_matrix(relative).magnitude())
        return angle, np.linalg.norm(np.asarray(t) - self.t, axis=-1)

    def opencv(self, method):
        """Poses by OpenCV from the inliers alone."""
        R, t = [], []
        for points, pixels, outlier in zip(self.points.numpy(), self.pixels.numpy(), self.outlier):
            arguments = points[~outlier], pixels[~outlier], np.eye(3), None
            _, rotation, translation = cv2.solvePnP(*arguments, flags=method)
            R.append(cv2.Rodrigues(rotation)[0])
            t.append(translation[:, 0])
        return np.array(R), np.array(t)


@pytest.mark.parametrize('shape', ['volume', 'plane'])
@pytest.mark.parametrize('points', [5, 6, 7, 20, 128])
def test_exact_without_noise(points, shape):
    problems = Problems(200, points, shape=shape)
    result = epnp(problems.points, problems.pixels)
    assert result.valid.all()
    angle, shift = problems.errors(result.R, result.t)
    assert np.deg2rad(angle).max() < 1e-6
    assert shift.max() < 1e-6
    assert result.rms.max() < 1e-8
    identity = torch.eye(3, dtype=torch.float64)
    assert torch.allclose(result.R @ result.R.mT, identity.expand(200, 3, 3), atol=1e-12)
    assert (torch.linalg.det(result.R) > 0).all()


def starts(problems):
    """Candidate poses before refinement and the rms (B, 6) of their pixels, by projecting."""
    weights = torch.ones(problems.points.shape[:2])
    problem = whiten(problems.points, problems.pixels, weights, weights > 0)
    R, t = initial_poses(problem)
    camera = problem.points.unsqueeze(1) @ R.mT + t.unsqueeze(-2)
    off = camera[..., :2] / camera[..., 2:] - problem.pixels.unsqueeze(1)
    return R, t, off.square().sum(-1).mean(-1).sqrt()


@pytest.mark.parametrize(('shape', 'first', 'last'), [('volume', 0, 4), ('plane', 4, 5)])
def test_starts_are_exact_without_noise(shape, first, last):
    """The closed form alone, which refinement would make up for."""
    R, _, rms = starts(Problems(200, 30, shape=shape))
    assert (rms[:, first:last].amin(-1) < 1e-6).double().mean() > 0.98
    torch.testing.assert_close(R @ R.mT, torch.eye(3).double().expand_as(R))
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(200, 6).double())


def test_starts_of_noisy_points_are_near():
    """All four cases are of use: the best of them is nearer than the best of three."""
    rms = starts(Problems(400, 5, noise=10.0))[2][:, :4]
    best = rms.amin(-1)
    # The truth would leave 14 pixels, which are ten in each direction.
    assert best.median() < 14 * PIXEL
    for case in range(4):
        others = rms[:, [c for c in range(4) if c != case]].amin(-1)
        assert (best < 0.999 * others).sum() > 4


def test_a_plane_has_a_start_that_is_tilted_the_other_way():
    """Its pixels differ by the square of size over distance; the line of sight is the same."""
    rng = np.random.default_rng(0)
    turn = Rotation.from_euler('x', 40, degrees=True)
    problems = Problems(1, 30)
    flat = np.c_[rng.uniform(-1, 1, (30, 2)), np.zeros(30)]
    flat -= flat.mean(0)
    misfits = []
    for distance in (10, 100):
        camera = turn.apply(flat) + [0.0, 0, distance]
        problems.points = torch.from_numpy(flat)[None]
        problems.pixels = torch.from_numpy(camera[:, :2] / camera[:, 2:])[None]
        R, t, rms = starts(problems)
        assert rms[0, 4] < 1e-6
        misfits.append(rms[0, 5].item())
        assert torch.equal(t[0, 4], t[0, 5])
        normals = R[0, 4:, :, 2]
        # cos 80 degrees between the planes' normals, whichever way they point.
        cosine = (normals[0] @ normals[1]).abs().item()
        assert cosine == pytest.approx(np.cos(np.deg2rad(80)), abs=0.01)
    assert misfits[0] < 0.01 and misfits[0] / misfits[1] == pytest.approx(100, rel=0.1)


def test_exact_in_a_far_frame_of_any_unit():
    problems = Problems(50, 30)
    shift = torch.tensor([4.5e5, -5.4e6, 120.0], dtype=torch.float64)
    far = epnp(problems.points + shift, problems.pixels)
    expected_t = problems.t - (problems.R @ shift.numpy())
    assert np.abs(far.R.numpy() - problems.R).max() < 1e-8
    assert np.abs(far.t.numpy() - expected_t).max() < 1e-2
    tiny = epnp(problems.points * 1e-6, problems.pixels)
    assert np.abs(tiny.t.numpy() * 1e6 - problems.t).max() < 1e-6


@pytest.mark.parametrize('points', [8, 128])
def test_median_error_with_noise_is_no_worse_than_opencv(points):
    problems = Problems(1000, points, noise=1.0, seed=1)
    result = epnp(problems.points, problems.pixels)
    assert result.valid.all()
    ours = problems.errors(result.R, result.t)
    for method, slack in ((cv2.SOLVEPNP_EPNP, 1.0), (cv2.SOLVEPNP_ITERATIVE, 1.0001)):
        theirs = problems.errors(*problems.opencv(method))
        assert np.median(ours[0]) <= slack * np.median(theirs[0])
        assert np.median(ours[1]) <= slack * np.median(theirs[1])


def test_median_error_on_planes_is_no_worse_than_opencv():
    problems = Problems(500, 20, noise=1.0, shape='plane', seed=2)
    result = epnp(problems.points, problems.pixels)
    ours = problems.errors(result.R, result.t)
    for method in (cv2.SOLVEPNP_EPNP, cv2.SOLVEPNP_ITERATIVE, cv2.SOLVEPNP_IPPE):
        theirs = problems.errors(*problems.opencv(method))
        assert np.median(ours[0]) <= 1.01 * np.median(theirs[0])
        assert np.median(ours[1]) <= 1.01 * np.median(theirs[1])


@pytest.mark.parametrize('outlier_weight', [0.0, 1e-3])
def test_median_error_with_outliers_of_low_weight_is_no_worse_than_opencv(outlier_weight):
    """OpenCV takes no weights, so it is given the inliers alone, which favours it."""
    problems = Problems(1000, 128, noise=1.0, outliers=0.3, seed=3)
    weights = torch.from_numpy(np.where(problems.outlier, outlier_weight, 1.0))
    result = epnp(problems.points, problems.pixels, weights)
    assert result.valid.all()
    ours = problems.errors(result.R, result.t)
    theirs = problems.errors(*problems.opencv(cv2.SOLVEPNP_EPNP))
    assert np.median(ours[0]) <= np.median(theirs[0])
    assert np.median(ours[1]) <= np.median(theirs[1])


def test_rms_is_the_weighted_reprojection_error():
    problems = Problems(20, 30, noise=2.0)
    weights = torch.rand(20, 30, dtype=torch.float64)
    result = epnp(problems.points, problems.pixels, weights)
    for i in range(20):
        rotation = cv2.Rodrigues(result.R[i].numpy())[0]
        uv, _ = cv2.projectPoints(
            problems.points[i].numpy(), rotation, result.t[i].numpy(), np.eye(3), None
        )
        square = ((uv[:, 0] - problems.pixels[i].numpy()) ** 2).sum(-1)
        assert float(result.rms[i]) == pytest.approx(
            np.sqrt(np.average(square, weights=weights[i]))
        )


def expected_derivatives(R, t, points, pixels, weights):
    """Gradient and Hessian of the cost by autograd, with the exponential map."""

    def cost(step):
        x, y, z = step[:3].unbind()
        zero = torch.zeros_like(x)
        skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)
        moved = points @ (torch.linalg.matrix_exp(skew) @ R).T + t + step[3:]
        residual = moved[:, :2] / moved[:, 2:] - pixels
        return 0.5 * (weights * residual.square().sum(-1)).sum()

    step = torch.zeros(6, dtype=torch.float64)
    gradient = torch.autograd.functional.jacobian(cost, step)
    return cost(step), gradient, torch.autograd.functional.hessian(cost, step)


def test_derivatives_against_autograd_far_from_the_minimum():
    problems = Problems(5, 9, noise=30.0, seed=4)
    R, t = torch.from_numpy(problems.R), torch.from_numpy(problems.t)
    weights = torch.rand(5, 9, dtype=torch.float64)
    values = R, t, problems.points, problems.pixels, weights
    found = derivatives(*values)
    for i in range(5):
        cost, gradient, hessian = expected_derivatives(*[value[i] for value in values])
        assert torch.allclose(found.cost[i], cost)
        assert torch.allclose(found.gradient[i], gradient, atol=1e-10)
        assert torch.allclose(found.hessian[i], hessian, rtol=1e-8, atol=1e-8)


def scalar(result, seed=0):
    """One number a problem, from all entries of its pose."""
    generator = torch.Generator().manual_seed(seed)
    by_R = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    by_t = torch.randn(3, generator=generator, dtype=torch.float64)
    return (result.R * by_R).sum((1, 2)) + (result.t * by_t).sum(1)


@pytest.mark.parametrize(
    ('shape', 'noise', 'outliers'),
    [('volume', 1.0, 0.0), ('plane', 1.0, 0.0), ('volume', 5.0, 0.2), ('volume', 0.0, 0.0)],
)
def test_gradients_against_finite_differences_of_the_solver(shape, noise, outliers):
    """Far from small residuals too, where the Hessian of Gauss-Newton would be wrong."""
    problems = Problems(4, 12, noise, shape, outliers, seed=5)
    weights = torch.rand(4, 12, dtype=torch.float64) + 0.2
    inputs = [problems.points, problems.pixels, weights]
    leaves = [value.clone().requires_grad_() for value in inputs]
    gradients = torch.autograd.grad(scalar(epnp(*leaves)).sum(), leaves)
    for i, step in enumerate([1e-4, 1e-6, 1e-4]):
        expected = torch.zeros_like(inputs[i])
        for index in np.ndindex(*inputs[i].shape[1:]):
            sides = []
            for sign in (1, -1):
                moved = [value.clone() for value in inputs]
                moved[i][(slice(None), *index)] += sign * step
                sides.append(scalar(epnp(*moved)))
            expected[(slice(None), *index)] = (sides[0] - sides[1]) / (2 * step)
        difference = (gradients[i] - expected).flatten(1).norm(dim=1)
        size = expected.flatten(1).norm(dim=1)
        assert (difference < 1e-5 * size + 1e-7).all()


def test_only_the_ratios_of_weights_matter():
    problems = Problems(5, 20, noise=2.0)
    weights = (torch.rand(5, 20, dtype=torch.float64) + 0.1).requires_grad_()
    results, gradients = [], []
    for factor in (1.0, 1e-12, 1e12):
        result = epnp(problems.points, problems.pixels, weights * factor)
        results.append(result)
        gradients.append(torch.autograd.grad(scalar(result).sum(), weights)[0])
    for result, gradient in zip(results[1:], gradients[1:]):
        assert torch.allclose(result.t, results[0].t, atol=1e-9)
        assert torch.allclose(gradient, gradients[0], rtol=1e-6, atol=1e-9)


NAN, INF = float('nan'), float('inf')


def spoil(kind):
    """One problem of 20 points that has no pose."""
    good = Problems(1, 20, noise=1.0, seed=9)
    points, pixels = good.points[0].clone(), good.pixels[0].clone()
    weights, mask = torch.ones(20, dtype=torch.float64), torch.ones(20, dtype=torch.bool)
    if kind == 'all weights zero':
        weights[:] = 0
    elif kind == 'all masked':
        mask[:] = False
    elif kind == 'four points by mask':
        mask[4:] = False
    elif kind == 'four points by weight':
        weights[4:] = 0
    elif kind == 'nan point':
        points[3, 1] = NAN
    elif kind == 'inf pixel':
        pixels[3, 1] = INF
    elif kind == 'nan weight':
        weights[3] = NAN
    elif kind == 'inf weight':
        weights[3] = INF
    elif kind == 'negative weight':
        weights[3] = -1
    elif kind == 'all nan':
        points[:], pixels[:], weights[:] = NAN, NAN, NAN
    elif kind == 'huge':
        points *= 1e300
    elif kind == 'one place':
        points[:] = points[0]
    elif kind == 'one pixel':
        pixels[:] = pixels[0]
    elif kind == 'collinear':
        points = torch.linspace(0, 5, 20, dtype=torch.float64)[:, None] * points[:1] + points[1]
        moved = points @ torch.from_numpy(good.R[0]).T + torch.tensor([0.0, 0.0, 60.0])
        pixels = moved[:, :2] / moved[:, 2:]
    elif kind == 'collinear in float32':
        points = torch.linspace(0, 5, 20, dtype=torch.float64)[:, None] * points[:1] + points[1]
        points = points.float().double()
    elif kind == 'zeros':
        points[:], pixels[:] = 0, 0
    else:
        raise KeyError(kind)
    return points, pixels, weights, mask


BAD = [
    'all weights zero',
    'all masked',
    'four points by mask',
    'four points by weight',
    'nan point',
    'inf pixel',
    'nan weight',
    'inf weight',
    'negative weight',
    'all nan',
    'huge',
    'one place',
    'one pixel',
    'collinear',
    'collinear in float32',
    'zeros',
]


def test_bad_problems_are_flagged_and_disturb_nobody():
    good = Problems(len(BAD) + 1, 20, noise=1.0, seed=10)
    ones = torch.ones(len(BAD) + 1, 20, dtype=torch.float64)
    alone = [value.clone().requires_grad_() for value in (good.points, good.pixels, ones)]
    expected = epnp(*alone)
    scalar(expected).sum().backward()

    # good, bad, good, bad, ..., good
    columns = [[value[i] for i in range(len(BAD) + 1)] for value in (good.points, good.pixels)]
    columns += [list(ones), list(ones.bool())]
    mixed = []
    bad = [spoil(kind) for kind in BAD]
    for part, column in enumerate(columns):
        rows = [column[0]]
        for i in range(len(BAD)):
            rows += [bad[i][part], column[i + 1]]
        mixed.append(torch.stack(rows))
    leaves = [value.requires_grad_() for value in mixed[:3]]
    result = epnp(*leaves, mixed[3])

    assert result.valid[0::2].all()
    assert [kind for kind, valid in zip(BAD, result.valid[1::2]) if valid] == []
    assert torch.equal(result.R[1::2], torch.eye(3).double().expand(len(BAD), 3, 3))
    assert (result.t[1::2] == 0).all()
    assert (result.rms[1::2] == INF).all()
    for found, wanted in zip(result, expected):
        assert torch.allclose(found[0::2], wanted, rtol=0, atol=1e-9)

    # A loss that is NaN on the invalid poses must not spoil anything either.
    poison = torch.where(result.valid, 0.0, NAN)
    (scalar(result) + poison * result.t.sum(-1)).sum().backward()
    for leaf, lone in zip(leaves, alone):
        assert (leaf.grad[1::2] == 0).all()
        assert torch.allclose(leaf.grad[0::2], lone.grad, rtol=1e-9, atol=1e-9)


def test_masked_correspondences_may_hold_anything():
    problems = Problems(3, 30, noise=1.0)
    expected = epnp(problems.points[:, :20], problems.pixels[:, :20])
    points, pixels = problems.points.clone(), problems.pixels.clone()
    points[:, 20:], pixels[:, 20:25], pixels[:, 25:] = NAN, INF, 1e200
    mask = torch.arange(30).expand(3, 30) < 20
    leaves = [points.requires_grad_(), pixels.requires_grad_()]
    result = epnp(*leaves, mask=mask)
    assert torch.allclose(result.R, expected.R, atol=1e-9)
    assert torch.allclose(result.t, expected.t, atol=1e-9)
    scalar(result).sum().backward()
    for leaf in leaves:
        assert (leaf.grad[:, 20:] == 0).all()
        assert torch.isfinite(leaf.grad).all()
        assert (leaf.grad[:, :20] != 0).any()


@pytest.mark.parametrize('distance', [3.0, 10.0])
def test_points_behind_the_camera_give_no_pose_behind_it(distance):
    """Dividing by a negative depth gives pixels that fit exactly, by a pose that is impossible."""
    rng = np.random.default_rng(0)
    camera = torch.from_numpy(rng.uniform(-1, 1, (100, 15, 3)))
    camera[..., 2] -= distance
    R = torch.from_numpy(Rotation.random(100, random_state=0).as_matrix())
    pixels = camera[..., :2] / camera[..., 2:]
    points = (camera - torch.tensor([1.0, 2.0, 3.0])) @ R
    result = epnp(points, pixels)
    depth = (points @ result.R.mT + result.t.unsqueeze(1))[..., 2]
    assert ((depth > 0).float().mean(-1)[result.valid] >= 0.9).all()
    # What is found in front is the wrong shape, and the error says so.
    assert (result.rms > 1e-3).all()


def test_fronto_parallel_board_and_its_tilt():
    grid = torch.stack(torch.meshgrid(torch.arange(4.0), torch.arange(3.0), indexing='ij'), -1)
    board = torch.cat([grid.reshape(-1, 2), torch.zeros(12, 1)], -1).double()
    for tilt in (0.0, 0.3, -1.0):
        R = torch.from_numpy(Rotation.from_euler('yx', [tilt, 0.5 * tilt]).as_matrix())
        moved = board @ R.T + torch.tensor([-1.5, -1.0, 6.0])
        result = epnp(board[None], (moved[:, :2] / moved[:, 2:])[None])
        assert result.valid.all()
        assert torch.allclose(result.R[0], R, atol=1e-7)


@pytest.mark.parametrize('shape', [(0, 7), (3, 0), (0, 0)])
def test_empty_batches(shape):
    points = torch.zeros(*shape, 3, requires_grad=True)
    result = epnp(points, torch.zeros(*shape, 2))
    assert result.R.shape == (shape[0], 3, 3)
    assert not result.valid.any()
    (result.R.sum() + result.t.sum()).backward()
    assert points.grad.shape == points.shape


@pytest.mark.parametrize('dtype', [torch.float32, torch.half, torch.bfloat16])
def test_low_precision_input_is_solved_in_full_precision(dtype):
    problems = Problems(5, 64)
    points, pixels = problems.points.to(dtype), problems.pixels.to(dtype)
    expected = epnp(points.double(), pixels.double())
    points.requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        result = epnp(points, pixels)
        scalar(result).sum().backward()
    assert result.R.dtype == result.t.dtype == torch.float32
    assert points.grad.dtype == dtype
    assert torch.isfinite(points.grad).all()
    assert torch.allclose(result.R.double(), expected.R, atol=1e-6)
    assert torch.allclose(result.t.double(), expected.t, atol=1e-5)


def test_second_derivatives_are_refused():
    problems = Problems(1, 10, noise=1.0)
    points = problems.points.requires_grad_()
    total = scalar(epnp(points, problems.pixels)).square().sum()
    (gradient,) = torch.autograd.grad(total, points, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        gradient.sum().backward()


def test_inputs_stay_unchanged():
    problems = Problems(2, 10)
    points, pixels = problems.points.clone(), problems.pixels.clone()
    epnp(points, pixels)
    assert torch.equal(points, problems.points)
    assert torch.equal(pixels, problems.pixels)


VALUES = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, NAN, INF, -INF, 1e-30, 1e30, 1e-300, 1e300]),
    st.floats(-100, 100),
)


@settings(max_examples=150, deadline=None)
@given(st.integers(5, 8).flatmap(lambda n: st.lists(VALUES, min_size=6 * n, max_size=6 * n)))
def test_never_nan_whatever_the_input(values):
    table = torch.tensor(values, dtype=torch.float64).view(-1, 6)
    points, pixels, weights = (
        part.clone().unsqueeze(0).requires_grad_()
        for part in (table[:, :3], table[:, 3:5], table[:, 5])
    )
    result = epnp(points, pixels, weights)
    assert torch.isfinite(result.R).all()
    assert torch.isfinite(result.t).all()
    assert not result.rms.isnan().any()
    scalar(result).sum().backward()
    for leaf in (points, pixels, weights):
        assert torch.isfinite(leaf.grad).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.3), st.integers(5, 30), st.sampled_from([1, 2, 3]))
def test_finite_on_noise_of_any_size(seed, noise, count, rank):
    """Random clouds of rank 1 to 3 with pixels that fit more or less."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(2, count, 3, generator=generator)
    points[..., rank:] = 0
    pixels = points[..., :2] / (points[..., 2:] + 4)
    pixels = pixels + noise * torch.randn(pixels.shape, generator=generator)
    points.requires_grad_()
    result = epnp(points, pixels)
    assert torch.isfinite(result.R).all()
    assert torch.isfinite(result.t).all()
    if rank == 1:
        assert not result.valid.any()
    scalar(result).sum().backward()
    assert torch.isfinite(points.grad).all()


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (((2, 5, 2), (2, 5, 2)), r'points must have shape \(B, P, 3\), got \(2, 5, 2\)'),
        (((5, 3), (5, 2)), 'points must have shape'),
        (((2, 5, 3), (2, 4, 2)), r'pixels must have shape \(2, 5, 2\), got \(2, 4, 2\)'),
        (((2, 5, 3), (2, 5, 2), (2, 4)), r'weights must have shape \(2, 5\), got \(2, 4\)'),
        (((2, 5, 3), (2, 5, 2), (2, 5), (2, 5)), 'mask must be bool of shape'),
    ],
)
def test_wrong_shapes_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        epnp(*[torch.zeros(shape) for shape in arguments])
