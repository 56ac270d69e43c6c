"""The pose solvers against problems whose pose is known, and against each other."""

import numpy as np
import pytest
from mmdet3d.registry import TASK_UTILS
from scipy.spatial.transform import Rotation

from nclr_mm.models.task_modules import OpenCVSolver, PoseLibSolver

SIZE = (224, 416)
SOLVERS = [PoseLibSolver, OpenCVSolver]


def _problem(seed, num=400, outliers=0.5, noise=0.5, mirrored=False, skew=0.0):
    """Points seen in the image by a random camera; a share of the pixels is drawn at random."""
    rng = np.random.default_rng(seed)
    cam2img = np.array([[320.0, skew, 208.0], [0.0, 318.0, 112.0], [0.0, 0.0, 1.0]])
    if mirrored:
        cam2img = np.array([[-1.0, 0.0, SIZE[1] - 1], [0, 1, 0], [0, 0, 1]]) @ cam2img
    pixels = rng.uniform([0, 0], [SIZE[1] - 1, SIZE[0] - 1], (num, 2))
    depth = rng.uniform(4, 50, num)
    cam = np.linalg.solve(cam2img, np.c_[pixels, np.ones(num)].T).T * depth[:, None]
    lidar2cam = np.eye(4)
    lidar2cam[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    lidar2cam[:3, 3] = rng.normal(0, 5, 3)
    points = (cam - lidar2cam[:3, 3]) @ lidar2cam[:3, :3]
    wrong = rng.permutation(num) < outliers * num
    pixels = pixels + rng.normal(0, noise, (num, 2))
    pixels[wrong] = rng.uniform([0, 0], [SIZE[1] - 1, SIZE[0] - 1], (wrong.sum(), 2))
    return points, pixels, cam2img, lidar2cam, wrong


def _errors(pred, true):
    rotation = Rotation.from_matrix(pred[:3, :3] @ true[:3, :3].T).magnitude()
    return np.degrees(rotation), np.linalg.norm(pred[:3, 3] - true[:3, 3])


@pytest.mark.parametrize('solver', SOLVERS)
@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('skew', [0.0, 12.0])
def test_half_of_the_matches_wrong(solver, mirrored, skew):
    for seed in range(4):
        points, pixels, cam2img, true, wrong = _problem(seed, mirrored=mirrored, skew=skew)
        result = solver().solve(points, pixels, cam2img, SIZE)
        assert result.valid
        degrees, metres = _errors(result.lidar2cam, true)
        assert degrees < 0.2 and metres < 0.1
        assert np.linalg.det(result.lidar2cam[:3, :3]) == pytest.approx(1)
        assert (result.inliers & ~wrong).sum() > 0.98 * (~wrong).sum()
        assert (result.inliers & wrong).sum() < 0.05 * wrong.sum()
        assert 0.4 < result.reproj_error < 1.5  # 0.5 px noise in u and in v: 0.7 px, plus strays


@pytest.mark.parametrize('solver', SOLVERS)
def test_exact_matches_give_the_exact_pose(solver):
    points, pixels, cam2img, true, _ = _problem(7, num=60, outliers=0, noise=0)
    result = solver().solve(points, pixels, cam2img)
    np.testing.assert_allclose(result.lidar2cam, true, atol=1e-5)
    assert result.inliers.all() and result.reproj_error < 1e-4


def test_the_solvers_agree():
    for seed in range(10, 14):
        points, pixels, cam2img, _, _ = _problem(seed, noise=0.3)
        one = PoseLibSolver().solve(points, pixels, cam2img, SIZE)
        two = OpenCVSolver().solve(points, pixels, cam2img, SIZE)
        degrees, metres = _errors(one.lidar2cam, two.lidar2cam)
        assert degrees < 0.1 and metres < 0.1


@pytest.mark.parametrize('solver', SOLVERS)
def test_same_input_same_result(solver):
    points, pixels, cam2img, *_ = _problem(3, outliers=0.7)
    results = [solver().solve(points, pixels, cam2img) for _ in range(2)]
    np.testing.assert_array_equal(results[0].lidar2cam, results[1].lidar2cam)
    np.testing.assert_array_equal(results[0].inliers, results[1].inliers)


@pytest.mark.parametrize('solver', SOLVERS)
def test_matches_with_nan_or_outside_the_image_are_left_out(solver):
    points, pixels, cam2img, true, _ = _problem(5, outliers=0.2)
    points[::10] = np.nan
    pixels[1::10] = np.inf
    pixels[2::10] = -40
    result = solver().solve(points, pixels, cam2img, SIZE)
    assert result.valid and _errors(result.lidar2cam, true)[0] < 0.2
    for start in range(3):
        assert not result.inliers[start::10].any()


def _degenerate():
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 200, (50, 2))
    cloud = rng.uniform(-20, 20, (50, 3))
    return {
        'none': (np.zeros((0, 3)), np.zeros((0, 2))),
        'three': (cloud[:3], pixels[:3]),
        'all nan': (np.full((50, 3), np.nan), pixels),
        'random': (cloud, pixels),
        'one point': (np.ones((50, 3)), pixels),
        'one point, one pixel': (np.ones((50, 3)), np.full((50, 2), 9.0)),
        'line, random pixels': (np.linspace(0, 1, 50)[:, None] * np.ones(3), pixels),
        'huge': (cloud * 1e12, pixels),
    }


@pytest.mark.parametrize('solver', SOLVERS)
@pytest.mark.parametrize('case', sorted(_degenerate()))
def test_without_a_solution_the_pose_is_invalid(solver, case):
    points, pixels = _degenerate()[case]
    cam2img = np.array([[300.0, 0, 200], [0, 300, 100], [0, 0, 1]])
    result = solver(min_inliers=20).solve(points, pixels, cam2img)
    assert result.valid is False
    np.testing.assert_array_equal(result.lidar2cam, np.eye(4))
    assert result.inliers.shape == (len(points),) and not result.inliers.any()
    assert result.reproj_error == np.inf


@pytest.mark.parametrize('solver', SOLVERS)
def test_an_impossible_pose_is_refused(solver):
    points, pixels, cam2img, true, _ = _problem(1, outliers=0)
    assert (
        solver(max_translation=np.linalg.norm(true[:3, 3]) + 1).solve(points, pixels, cam2img).valid
    )
    assert (
        not solver(max_translation=np.linalg.norm(true[:3, 3]) - 1)
        .solve(points, pixels, cam2img)
        .valid
    )


@pytest.mark.parametrize('solver', SOLVERS)
def test_most_points_behind_the_camera(solver):
    points, pixels, cam2img, true, _ = _problem(2, num=300, outliers=0, noise=0.2)
    behind = (np.array([0, 0, -15.0]) - true[:3, 3]) @ true[:3, :3]
    points[:160] = behind + np.random.default_rng(0).normal(0, 1, (160, 3))
    assert not solver().solve(points, pixels, cam2img).valid
    if solver is PoseLibSolver:  # OpenCV's last EPnP goes astray here, which is refused, too
        assert solver(min_in_front=0.2).solve(points, pixels, cam2img).valid


@pytest.mark.parametrize(
    'bad',
    [
        dict(points=np.zeros((5, 2))),
        dict(pixels=np.zeros((4, 2))),
        dict(cam2img=np.eye(4)),
        dict(cam2img=np.zeros((3, 3))),
        dict(cam2img=np.full((3, 3), np.nan)),
    ],
)
def test_wrong_input_is_named(bad):
    good = dict(points=np.zeros((5, 3)), pixels=np.zeros((5, 2)), cam2img=np.eye(3))
    with pytest.raises(ValueError, match=next(iter(bad))):
        PoseLibSolver().solve(**{**good, **bad})


def test_built_from_a_config():
    assert TASK_UTILS.build(dict(type='PoseLibSolver', max_error=5)).max_error == 5
    assert TASK_UTILS.build(dict(type='OpenCVSolver')).max_iterations == 3000


@pytest.mark.parametrize(
    'kwargs, name',
    [
        (dict(max_error=0), 'max_error'),
        (dict(loss='SQUARE'), 'loss'),
        (dict(min_inliers=2), 'min_inliers'),
        (dict(min_iterations=10, max_iterations=5), 'min_iterations'),
        (dict(min_in_front=2), 'min_in_front'),
    ],
)
def test_wrong_arguments_are_named(kwargs, name):
    with pytest.raises(ValueError, match=name):
        PoseLibSolver(**kwargs)
