"""The rig solver against rigs whose pose is known, and its covariance against repeated trials."""

import numpy as np
import pytest
from mmdet3d.registry import TASK_UTILS
from scipy.optimize import approx_fprime
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from nclr_mm.models.task_modules import (
    PoseLibSolver,
    RigMatches,
    RigSolver,
    exp_motion,
    image_pieces,
    log_motion,
    pose_jacobian,
    robust_covariance,
)
from tests.rigs import SIZE, make_matches, make_rig, random_pose


def _errors(pose, true):
    rotation = Rotation.from_matrix(pose[:3, :3] @ true[:3, :3].T).magnitude()
    return np.degrees(rotation), np.linalg.norm(pose[:3, 3] - true[:3, 3])


def _problem(seed, cameras=6, **settings):
    rng = np.random.default_rng(seed)
    cam2img, rig2cam = make_rig(cameras)
    true = random_pose(rng)
    return make_matches(cam2img, rig2cam @ true, rng, **settings), cam2img, rig2cam, true


@pytest.mark.parametrize('cameras', [1, 2, 6])
def test_exact_matches_give_the_exact_pose(cameras):
    matches, cam2img, rig2cam, true = _problem(0, cameras, outliers=0, noise=0)
    found = RigSolver().solve(matches, cam2img, rig2cam, SIZE)
    assert found.valid and found.inliers.all() and found.reproj_error < 1e-3
    np.testing.assert_allclose(found.lidar2rig, true, atol=1e-4)


def test_half_of_the_matches_wrong():
    for seed in range(4):
        matches, cam2img, rig2cam, true = _problem(seed, outliers=0.5)
        found = RigSolver().solve(matches, cam2img, rig2cam, SIZE)
        degrees, metres = _errors(found.lidar2rig, true)
        assert found.valid and degrees < 0.2 and metres < 0.1


def test_a_rig_is_found_where_no_camera_is():
    # Six matches a camera, one in three wrong: too few for any camera, and enough for all.
    solved = 0
    for seed in range(6):
        matches, cam2img, rig2cam, true = _problem(seed, number=6, noise=0.5)
        found = RigSolver().solve(matches, cam2img, rig2cam, SIZE)
        degrees, metres = _errors(found.lidar2rig, true)
        solved += degrees < 1 and metres < 0.5
        alone = PoseLibSolver()
        for i in range(6):
            mine = matches[matches.view == i]
            assert not alone.solve(mine.points, mine.pixels, cam2img[i], SIZE).valid
    assert solved == 6


def test_the_frame_of_the_rig_makes_no_difference():
    matches, cam2img, rig2cam, _ = _problem(3)
    other = random_pose(np.random.default_rng(9), 1.0)
    one = RigSolver().solve(matches, cam2img, rig2cam, SIZE)
    two = RigSolver().solve(matches, cam2img, rig2cam @ np.linalg.inv(other), SIZE)
    np.testing.assert_allclose(two.lidar2rig, other @ one.lidar2rig, atol=1e-3)
    np.testing.assert_allclose(two.covariance, one.covariance, rtol=0.05, atol=1e-9)


def test_mirrored_images():
    rng = np.random.default_rng(1)
    cam2img, rig2cam = make_rig()
    cam2img = np.array([[-1.0, 0, SIZE[1] - 1], [0, 1, 0], [0, 0, 1]]) @ cam2img
    true = random_pose(rng)
    found = RigSolver().solve(make_matches(cam2img, rig2cam @ true, rng), cam2img, rig2cam, SIZE)
    degrees, metres = _errors(found.lidar2rig, true)
    assert degrees < 0.2 and metres < 0.1


def test_one_mirrored_camera_does_not_spoil_the_others():
    rng = np.random.default_rng(1)
    cam2img, rig2cam = make_rig()
    true = random_pose(rng)
    matches = make_matches(cam2img, rig2cam @ true, rng)
    broken = matches.view == 2
    matches.pixels[broken, 0] = SIZE[1] - 1 - matches.pixels[broken, 0]
    found = RigSolver().solve(matches, cam2img, rig2cam, SIZE)
    degrees, metres = _errors(found.lidar2rig, true)
    assert degrees < 0.2 and metres < 0.1
    assert found.inliers[broken].mean() < 0.1 < found.inliers[~broken].mean()


def test_more_matches_than_hypotheses_are_drawn_from():
    matches, cam2img, rig2cam, _ = _problem(2, number=400)
    few = RigSolver(max_ransac_matches=100).solve(matches, cam2img, rig2cam, SIZE)
    every = RigSolver(max_ransac_matches=10000).solve(matches, cam2img, rig2cam, SIZE)
    # Both end in the minimum of the loss of all matches.
    degrees, metres = _errors(few.lidar2rig, every.lidar2rig)
    assert degrees < 1e-2 and metres < 1e-2


@pytest.mark.parametrize('spoil', ['none', 'nan', 'outside', 'random', 'far'])
def test_no_pose_where_there_is_none(spoil):
    rng = np.random.default_rng(0)
    matches, cam2img, rig2cam, _ = _problem(0, number=20)
    solver = RigSolver()
    if spoil == 'none':
        matches = matches[:0]
    elif spoil == 'nan':
        matches.points[:] = np.nan
    elif spoil == 'outside':
        matches.pixels += 1000
    elif spoil == 'random':
        matches.pixels = rng.uniform([0, 0], [SIZE[1], SIZE[0]], matches.pixels.shape)
        solver = RigSolver(min_inliers=30)
    else:
        solver = RigSolver(max_translation=1e-3)
    found = solver.solve(matches, cam2img, rig2cam, SIZE)
    assert not found.valid and not found.inliers.any() and np.isinf(found.reproj_error)
    assert np.isinf(found.covariance).all() and (found.lidar2rig == np.eye(4)).all()


def test_jacobian_is_that_of_finite_differences():
    rng = np.random.default_rng(5)
    cam2img, rig2cam = make_rig(2)
    cam2img[1, 0, 1] = 4.0
    lidar2cam = rig2cam @ random_pose(rng)
    matches = make_matches(cam2img, lidar2cam, rng, 3)
    got = pose_jacobian(matches.points, lidar2cam[matches.view], cam2img[matches.view])

    def project(motion, index):
        view = matches.view[index]
        cam = lidar2cam[view] @ exp_motion(motion) @ [*matches.points[index], 1]
        image = cam2img[view] @ cam[:3]
        return image[:2] / image[2]

    for index in range(len(matches)):
        want = approx_fprime(np.zeros(6), project, 1e-7, index)
        np.testing.assert_allclose(got[index], want, rtol=1e-4, atol=1e-3)


def test_motions_go_to_vectors_and_back():
    rng = np.random.default_rng(0)
    for _ in range(20):
        motion = np.concatenate([rng.uniform(-1.5, 1.5, 3), rng.normal(0, 3, 3)])
        np.testing.assert_allclose(log_motion(exp_motion(motion)), motion, atol=1e-12)


def test_image_pieces():
    pixels = np.array([[0, 0], [415, 0], [0, 223], [415, 223], [415, 223]], float)
    pieces = image_pieces(pixels, np.array([0, 0, 0, 0, 1]), SIZE, (2, 4))
    assert pieces.tolist() == [0, 3, 4, 7, 15]


@pytest.mark.parametrize('offsets', [0.0, 1.0])
def test_covariance_is_that_of_repeated_trials(offsets):
    """True errors lie in the 50, 90 and 99 % ellipsoids as often as they should.

    Also where neighbouring matches share their error: then a covariance that takes them for
    independent is far too small.
    """
    distances, naive = [], []
    for seed in range(150):
        matches, cam2img, rig2cam, true = _problem(seed, number=120, outliers=0.2, offsets=offsets)
        found = RigSolver(min_iterations=100).solve(matches, cam2img, rig2cam, SIZE)
        error = log_motion(np.linalg.inv(found.lidar2rig) @ true)
        distances.append(error @ np.linalg.solve(found.covariance, error))
        simple, groups = RigSolver().covariance(matches, cam2img, rig2cam, found.lidar2rig)
        assert 130 < found.groups <= 144 < groups  # parts of images, and matches
        naive.append(error @ np.linalg.solve(simple, error))
    # 150 trials: two standard deviations are 0.08 at 50 %, 0.05 at 90 %, 0.016 at 99 %.
    shares = [np.mean(np.array(distances) <= chi2.ppf(level, 6)) for level in (0.5, 0.9, 0.99)]
    assert abs(shares[0] - 0.5) < 0.12 and abs(shares[1] - 0.9) < 0.08 and shares[2] > 0.96, shares
    if offsets:
        assert np.mean(np.array(naive) <= chi2.ppf(0.9, 6)) < 0.75


def test_errors_that_stay_in_all_frames_are_not_averaged_away():
    """Five frames in which each part of each camera's image is off by the same: one observation."""
    known, naive = [], []
    cam2img, rig2cam = (np.tile(x, (5, 1, 1)) for x in make_rig())
    for seed in range(80):
        rng = np.random.default_rng(seed)
        true = random_pose(rng)
        offsets = rng.normal(0, 1, (6, 4, 6, 2))
        matches = make_matches(cam2img, rig2cam @ true, rng, 100, offsets=offsets)
        solver = RigSolver(min_iterations=100)
        camera = np.tile(np.arange(6), 5)
        for views, distances in ((camera, known), (None, naive)):
            found = solver.solve(matches, cam2img, rig2cam, SIZE, views)
            error = log_motion(np.linalg.inv(found.lidar2rig) @ true)
            distances.append(error @ np.linalg.solve(found.covariance, error))
    shares = [np.mean(np.array(d) <= chi2.ppf(0.9, 6)) for d in (known, naive)]
    assert shares[0] > 0.78 and shares[1] < 0.5, shares


def test_covariance_of_a_line_of_numbers():
    """One parameter, no outliers, a wide loss: the jackknife's variance of a mean, exactly."""
    rng = np.random.default_rng(0)
    residual = np.zeros((1000, 2))
    residual[:, 0] = rng.normal(0, 2, 1000)
    residual[:, 0] -= residual[:, 0].mean()
    jacobian = np.zeros((1000, 2, 1))
    jacobian[:, 0] = 1
    got = robust_covariance(residual, jacobian, 1e6, np.arange(1000))
    want = residual[:, 0].var(ddof=1) / 1000 * 999 / 997
    assert got.item() == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize('case', ['few groups', 'undetermined'])
def test_covariance_is_infinite_where_nothing_is_known(case):
    rng = np.random.default_rng(0)
    residual, jacobian = rng.normal(size=(50, 2)), rng.normal(size=(50, 2, 6))
    group = np.arange(50)
    if case == 'few groups':
        group = group % 8
    else:
        jacobian[..., 5] = jacobian[..., 4]
    assert np.isinf(robust_covariance(residual, jacobian, 4.0, group)).all()


def test_inflation_scales_the_covariance():
    matches, cam2img, rig2cam, _ = _problem(0)
    plain = RigSolver().solve(matches, cam2img, rig2cam, SIZE)
    inflated = RigSolver(inflation=2.5).solve(matches, cam2img, rig2cam, SIZE)
    np.testing.assert_allclose(inflated.covariance, 2.5 * plain.covariance)


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(view=np.full(12, 2)), 'view must name one of 2 views'),
        (dict(rig2cam=np.tile(2 * np.eye(4), (2, 1, 1))), 'rig2cam of view 0 is not a rigid'),
        (dict(rig2cam=np.eye(4)), r'rig2cam must have the shape \(2, 4, 4\)'),
        (dict(cam2img=np.zeros((2, 3, 3))), 'cam2img must be finite and invertible'),
        (dict(pixels=np.zeros((12, 3))), 'pixels must have the shape'),
    ],
)
def test_wrong_input_is_named(change, words):
    cam2img, rig2cam = make_rig(2)
    given = dict(points=np.ones((12, 3)), pixels=np.ones((12, 2)), view=np.repeat([0, 1], 6))
    matches = RigMatches(**{key: change.get(key, value) for key, value in given.items()})
    with pytest.raises(ValueError, match=words):
        RigSolver().solve(matches, change.get('cam2img', cam2img), change.get('rig2cam', rig2cam))


@pytest.mark.parametrize(
    'settings, words',
    [
        (dict(max_error=0), 'max_error'),
        (dict(inflation=-1), 'inflation'),
        (dict(min_iterations=0), 'min_iterations'),
        (dict(min_inliers=3), 'min_inliers'),
        (dict(max_ransac_matches=2), 'max_ransac_matches'),
        (dict(min_in_front=2), 'min_in_front'),
        (dict(pieces=(0, 2)), 'pieces'),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        RigSolver(**settings)


def test_built_from_a_config():
    assert isinstance(TASK_UTILS.build(dict(type='RigSolver', max_error=4.0)), RigSolver)
