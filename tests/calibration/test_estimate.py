"""The joint pose of several looks, on matches made from a known pose."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nclr_mm.calibration import Matches, Thresholds, estimate_pose, pose_distance
from nclr_mm.models.task_modules import PoseLibSolver
from tests.calibration.matches import CAM2IMG, SIZE, TRUE, look, near
from tests.poses import assert_near


def estimate(looks, poses, **options):
    return estimate_pose(Matches.join(looks), poses, CAM2IMG, SIZE, PoseLibSolver(), **options)


def test_more_looks_give_a_better_pose():
    errors = {1: [], 16: []}
    for trial in range(8):
        rng = np.random.default_rng(trial)
        looks = [look(rng, noise=3.0) for _ in range(16)]
        for number in errors:
            result = estimate(looks[:number], [near(rng)] * number, resamples=5)
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


def test_the_covariance_is_that_of_the_errors():
    """Over many repetitions the true errors spread as the covariances say."""
    errors, variances = [], []
    for trial in range(60):
        rng = np.random.default_rng(trial)
        looks = [look(rng, number=60, noise=2.0, wrong=0.1) for _ in range(12)]
        result = estimate(looks, [TRUE] * 12, resamples=60)
        motion = np.linalg.inv(result.lidar2cam) @ TRUE
        errors.append([*Rotation.from_matrix(motion[:3, :3]).as_rotvec(), *motion[:3, 3]])
        variances.append(np.diag(result.covariance))
    ratio = np.mean(np.square(errors), axis=0) / np.mean(variances, axis=0)
    # A bootstrap over 12 looks is too small by 1/12; 60 trials give the ratio to about 20 %.
    assert (ratio > 0.5).all() and (ratio < 2.0).all()


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


def test_a_wide_spread_is_doubtful():
    rng = np.random.default_rng(0)
    looks = [look(rng, number=40, noise=5.0, wrong=0.5) for _ in range(3)]
    result = estimate(looks, [TRUE] * 3, thresholds=Thresholds(rotation=0.01, translation=0.01))
    assert result.verdict == 'doubtful'
    assert [reason.split(' spreads')[0] for reason in result.reasons[:2]] == [
        'the rotation',
        'the translation',
    ]


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
