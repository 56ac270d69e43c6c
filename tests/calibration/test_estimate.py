"""The joint pose of several looks, on matches made from a known pose."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nclr_mm.calibration import Findings, Matches, Thresholds, estimate_pose, pose_distance
from nclr_mm.models.task_modules import PoseLibSolver, RigSolver
from tests.calibration.matches import CAM2IMG, SIZE, TRUE, look, near
from tests.poses import assert_near


def estimate(looks, poses, **options):
    return estimate_pose(
        Matches.join(looks), poses, CAM2IMG, SIZE, PoseLibSolver(), RigSolver(), **options
    )


def test_more_looks_give_a_better_pose():
    errors = {1: [], 16: []}
    for trial in range(8):
        rng = np.random.default_rng(trial)
        looks = [look(rng, noise=3.0) for _ in range(16)]
        for number in errors:
            result = estimate(looks[:number], [near(rng)] * number)
            errors[number].append(pose_distance(result.lidar2cam, TRUE))
    few, many = (np.sqrt(np.mean(np.square(errors[number]), axis=0)) for number in (1, 16))
    # Independent errors fall with the root of the number, here by four; chance leaves a margin.
    assert (many < few / 2).all()


def test_a_good_calibration_is_ok():
    rng = np.random.default_rng(0)
    looks = [look(rng) for _ in range(6)]
    result = estimate(looks, [near(rng) for _ in looks])
    assert result.verdict == 'ok'
    assert result.reasons == []
    assert result.agreement == 1
    assert result.num_looks == 6
    assert result.num_matches == 6 * 120
    assert 0.6 * 720 < result.num_inliers < 0.8 * 720
    # Pixels are off by 1 along each axis.
    assert result.reproj_error == pytest.approx(np.sqrt(2), rel=0.2)
    assert_near(result.lidar2cam, TRUE, 0.1, 0.1)


def trials(number, offset):
    """Errors (T, 2) in degrees and metres, their bounds, errors xi and covariances of repetitions.

    Args:
        number: of repetitions.
        offset: pixels by which all matches of a part of the image are off, alike in all looks.
    """
    errors, bounds, motions, covariances = [], [], [], []
    for trial in range(number):
        rng = np.random.default_rng(trial)
        shared = rng.normal(0, offset, (4, 6, 2))
        looks = []
        for _ in range(6):
            points, pixels = look(rng, number=60, noise=1.0, wrong=0.1)
            column, row = (pixels / SIZE[::-1] * (6, 4)).astype(int).clip(0, (5, 3)).T
            looks.append((points, pixels + shared[row, column]))
        result = estimate(looks, [TRUE] * 6)
        motion = np.linalg.inv(result.lidar2cam) @ TRUE
        motions.append([*Rotation.from_matrix(motion[:3, :3]).as_rotvec(), *motion[:3, 3]])
        errors.append(pose_distance(result.lidar2cam, TRUE))
        bounds.append(result.bound)
        covariances.append(result.covariance)
    return tuple(map(np.array, (errors, bounds, motions, covariances)))


@pytest.mark.parametrize('offset', [0.0, 2.0])
def test_the_covariance_is_that_of_the_errors(offset):
    """Over many repetitions the true errors spread as the covariances say."""
    errors, bounds, motions, covariances = trials(80, offset)
    variances = covariances.diagonal(axis1=1, axis2=2)
    ratio = np.mean(np.square(motions), axis=0) / np.mean(variances, axis=0)
    # 80 trials give the ratio to about 16 %.
    assert (ratio > 0.5).all() and (ratio < 1.6).all()
    # Binomial, of 80: 72 are expected, with a standard deviation of 2.7.
    assert ((errors <= bounds).mean(axis=0) > 0.8).all()


def test_the_bound_is_the_quantile_of_the_length_of_the_error():
    rng = np.random.default_rng(0)
    for scale in ([1, 1, 1], [1, 0.5, 0.1], [1, 0, 0]):
        turn = Rotation.random(random_state=1).as_matrix()
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = turn @ np.diag(np.square(scale) * 1e-4) @ turn.T
        covariance[3:, 3:] = covariance[:3, :3] * 400
        draws = rng.multivariate_normal(np.zeros(6), covariance, 40_000)
        rotation, translation = Findings(covariance=covariance).bound
        assert np.mean(
            np.linalg.norm(draws[:, :3], axis=1) < np.deg2rad(rotation)
        ) == pytest.approx(0.9, abs=0.01)
        assert np.mean(np.linalg.norm(draws[:, 3:], axis=1) < translation) == pytest.approx(
            0.9, abs=0.01
        )
    assert Findings(covariance=np.zeros((6, 6))).bound == (0, 0)
    assert Findings().bound == (np.inf, np.inf)


def test_looks_that_disagree():
    rng = np.random.default_rng(0)
    away = TRUE.copy()
    away[:3, 3] += [0, 0, 5]
    looks = [look(rng) for _ in range(8)]
    result = estimate(looks, [TRUE] * 4 + [away] * 2 + [None] * 2)
    assert result.agreement == 0.5
    assert result.verdict == 'doubtful'
    assert result.reasons == ['50% of 8 looks agree with the joint pose']
    result = estimate(looks, [TRUE] + [away] * 7)
    assert result.verdict == 'failed'
    assert result.reasons == ['only 12% of 8 looks agree with the joint pose']
    assert np.isfinite(result.lidar2cam).all()


def test_an_uncertain_pose_is_doubtful():
    rng = np.random.default_rng(0)
    looks = [look(rng, number=40, noise=5.0, wrong=0.5) for _ in range(3)]
    result = estimate(looks, [TRUE] * 3, thresholds=Thresholds(rotation=0.01, translation=0.01))
    assert result.verdict == 'doubtful'
    assert 'in 10 % of such cases the errors exceed' in result.reasons[0]


def test_matches_in_one_corner_do_not_say_how_exact_the_pose_is():
    points, pixels = look(np.random.default_rng(0), number=4000, wrong=0.0)
    corner = (pixels < np.array(SIZE[::-1]) / 4).all(axis=1)
    result = estimate([(points[corner], pixels[corner])] * 3, [TRUE] * 3)
    assert result.verdict == 'doubtful'
    assert result.reasons == ['the matches are too few to estimate how exact the pose is']
    assert result.bound == (np.inf, np.inf)


def test_few_looks_are_doubtful():
    rng = np.random.default_rng(0)
    looks = [look(rng) for _ in range(3)]
    assert estimate(looks, [TRUE] * 3).verdict == 'ok'
    result = estimate(looks[:2], [TRUE] * 2)
    assert result.verdict == 'doubtful'
    assert result.reasons == ['fewer than 3 looks, which cannot tell whether they agree']


def test_nothing_but_wrong_matches():
    rng = np.random.default_rng(0)
    result = estimate([look(rng, wrong=1.0)], [None])
    assert result.verdict == 'failed'
    assert result.agreement == 0


def test_no_match_at_all():
    result = estimate([(np.zeros((0, 3)), np.zeros((0, 2)))] * 3, [None] * 3)
    assert result.verdict == 'failed'
    assert result.reasons == ['no pose explains the 0 matches']
    np.testing.assert_array_equal(result.lidar2cam, np.eye(4))
    assert np.isinf(result.deviation).all()


def test_the_same_each_time():
    rng = np.random.default_rng(0)
    looks = [look(rng) for _ in range(3)]
    one, two = (estimate(looks, [TRUE] * 3) for _ in range(2))
    np.testing.assert_array_equal(one.lidar2cam, two.lidar2cam)
    np.testing.assert_array_equal(one.covariance, two.covariance)
