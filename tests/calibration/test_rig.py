"""Poses of rigs from many frames, moved cameras and adjustment, against known truths."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import chi2

from nclr_mm.calibration import (
    KeptMatches,
    RigPriors,
    Thresholds,
    Views,
    adjust_rig,
    estimate_rig,
    find_moved_cameras,
    pose_distance,
    rig_history,
)
from nclr_mm.calibration.bundle import _Layout
from nclr_mm.models.task_modules import RigMatches, RigSolver, exp_motion, log_motion
from tests.rigs import SIZE, make_matches, make_rig, random_pose, turned


def _drive(seed, frames=1, cameras=6, number=60, moved=None, still=True, **settings):
    """Matches of a drive, its views, and the truth; ``moved`` says where a camera truly is."""
    rng = np.random.default_rng(seed)
    cam2img, rig2cam = make_rig(cameras)
    true = random_pose(rng)
    actual = rig2cam.copy()
    for camera, pose in (moved or {}).items():
        actual[camera] = pose(rig2cam[camera], rng)
    motions = np.tile(np.eye(4), (frames, cameras, 1, 1))
    if not still:  # 0.5 m onwards and a turn between the stamps, other for each camera
        for frame in range(frames):
            for camera in range(cameras):
                motions[frame, camera] = exp_motion(rng.normal(0, [0, 0, 0.02, 0.5, 0.1, 0]))
    kept = KeptMatches(per_image=1000)
    for frame in range(frames):
        found = make_matches(cam2img, actual @ motions[frame] @ true, rng, number, **settings)
        kept.add(frame, [_of(found, camera) for camera in range(cameras)])
    return kept, Views(cam2img, rig2cam @ motions, SIZE), true


def _of(matches, view):
    chosen = matches.view == view
    return matches.points[chosen], matches.pixels[chosen]


def _xi(found, true):
    return log_motion(np.linalg.inv(found) @ true)


def test_more_frames_are_more_exact():
    errors = []
    for seed in range(4):
        kept, views, true = _drive(seed, frames=20, number=30, offsets=1.0)
        rows = rig_history(kept, views, RigSolver())
        assert [number for number, _, _ in rows] == [1, 2, 5, 10, 20]
        errors.append([pose_distance(pose, true) for _, pose, _ in rows])
        spreads = [np.trace(covariance) for _, _, covariance in rows]
        assert spreads[0] > spreads[2] > spreads[4]
    errors = np.array(errors).mean(axis=0)
    # Independent errors fall as the root of the number: 4.5 times.
    assert errors[0, 0] > 2.5 * errors[4, 0] and errors[0, 1] > 2.5 * errors[4, 1]


def test_motion_between_the_stamps_is_taken_out():
    kept, views, true = _drive(0, frames=5, still=False)
    found = estimate_rig(kept.matches(6), views, [], RigSolver())
    degrees, metres = pose_distance(found.lidar2rig, true)
    assert degrees < 0.05 and metres < 0.03
    standing = Views(views.cam2img, np.tile(make_rig()[1], (5, 1, 1, 1)), SIZE)
    without = estimate_rig(kept.matches(6), standing, [], RigSolver())
    assert pose_distance(without.lidar2rig, true)[1] > 3 * metres


def test_verdicts():
    kept, views, true = _drive(0, frames=3)
    solver, matches = RigSolver(), kept.matches(6)
    ok = estimate_rig(matches, views, [true] * 3, solver, Thresholds(inliers=20))
    assert ok.verdict == 'ok' and not ok.reasons and ok.num_frames == 3
    assert estimate_rig(matches, views, [true], solver).verdict == 'doubtful'
    assert estimate_rig(matches, views, [None] * 4, solver).verdict == 'failed'
    other = random_pose(np.random.default_rng(8))
    assert estimate_rig(matches, views, [true, true, other], solver).verdict == 'doubtful'
    none = estimate_rig(matches[:0], views, [None] * 3, solver)
    assert none.verdict == 'failed' and 'no pose of the rig' in none.reasons[0]


def test_a_pose_that_is_impossible_is_never_ok():
    kept, views, true = _drive(0, frames=3)
    true[:3, 3] = [500, 0, 0]
    far = RigMatches(**vars(kept.matches(6)))
    far.points = (np.linalg.inv(true) @ np.c_[far.points, np.ones(len(far))].T).T[:, :3]
    assert estimate_rig(far, views, [None] * 3, RigSolver()).verdict == 'failed'


def test_kept_matches_are_bounded_and_do_not_depend_on_interruptions(tmp_path):
    rng = np.random.default_rng(0)
    frames = [
        [(rng.normal(size=(n, 3)), rng.normal(size=(n, 2))) for n in rng.integers(0, 80, 2)]
        for _ in range(12)
    ]
    whole = KeptMatches(per_image=30, total=200, seed=3)
    first = KeptMatches(per_image=30, total=200, seed=3)
    for index, frame in enumerate(frames):
        whole.add(index, frame)
        assert len(whole) <= 200
        if index < 5:
            first.add(index, frame)
    first.save(tmp_path / 'state.npz', dict(looks=2), extra=np.arange(3))
    later = KeptMatches(per_image=30, total=200, seed=3)
    extra = later.load(tmp_path / 'state.npz', dict(looks=2))
    assert extra['extra'].tolist() == [0, 1, 2]
    for index in range(5, 12):
        later.add(index, frames[index])
    for name, values in whole.arrays.items():
        np.testing.assert_array_equal(values, later.arrays[name])
    # A fair draw: each frame keeps its share.
    offered = np.array([sum(min(len(p), 30) for p, _ in frame) for frame in frames])
    share = np.bincount(whole.arrays['frame'], minlength=12) / offered
    assert abs(share - 200 / offered.sum()).max() < 0.35
    assert list(tmp_path.iterdir()) == [tmp_path / 'state.npz']


def test_a_state_of_something_else_is_refused(tmp_path):
    kept = KeptMatches()
    kept.save(tmp_path / 'state.npz', dict(looks=2, seed=0))
    with pytest.raises(ValueError, match='another looks;'):
        KeptMatches().load(tmp_path / 'state.npz', dict(looks=3, seed=0))
    whole = (tmp_path / 'state.npz').read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / 'cut.npz').write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r'cut\.npz is not a state of an earlier calibration'):
            KeptMatches().load(tmp_path / 'cut.npz', {})
    np.savez(tmp_path / 'list.npz', header=np.frombuffer(b'[1]', np.uint8), **kept.arrays)
    with pytest.raises(ValueError, match='its header must be a mapping, not list'):
        KeptMatches().load(tmp_path / 'list.npz', {})
    (tmp_path / 'state.npz').write_bytes(b'PK nothing')
    with pytest.raises(ValueError, match='not a state of an earlier calibration'):
        KeptMatches().load(tmp_path / 'state.npz', {})
    np.savez(tmp_path / 'pickled.npz', header=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match='not a state of an earlier calibration'):
        KeptMatches().load(tmp_path / 'pickled.npz', {})


@pytest.mark.parametrize('degrees, metres', [(1.0, 0.0), (0.0, 0.15)], ids=['turned', 'shifted'])
def test_a_moved_camera_is_found(degrees, metres):
    for seed in range(3):
        move = {2: lambda pose, rng: turned(pose, degrees, metres, rng)}
        kept, views, _ = _drive(seed, frames=3, moved=move)
        found = find_moved_cameras(kept.matches(6), views, RigSolver(min_iterations=200))
        assert [c.verdict for c in found] == ['steady'] * 2 + ['moved'] + ['steady'] * 3
        assert found[2].p_value < 0.01 <= min(c.p_value for i, c in enumerate(found) if i != 2)
        assert found[2].rotation == pytest.approx(degrees, abs=0.25)
        assert found[2].translation == pytest.approx(metres, abs=0.07)


def test_a_camera_that_was_turned_far_is_found():
    kept, views, _ = _drive(0, frames=2, moved={2: lambda pose, rng: turned(pose, 30, 0.5, rng)})
    found = find_moved_cameras(kept.matches(6), views, RigSolver(min_iterations=200))
    assert [c.verdict for c in found] == ['steady'] * 2 + ['moved'] + ['steady'] * 3
    assert found[2].rotation == pytest.approx(30, abs=0.5)


def test_where_most_matches_are_wrong_small_motions_are_found_next_to_the_rest():
    # Of 300 matches of a camera 18 are right. A free solution of each camera blames others here.
    for seed in range(2):
        move = {2: lambda pose, rng: turned(pose, 2.0, 0.0, rng)}
        kept, views, _ = _drive(seed, number=300, outliers=0.94, moved=move)
        solver = RigSolver(min_iterations=200, max_iterations=2000)
        found = find_moved_cameras(kept.matches(6), views, solver)
        assert [c.verdict for c in found] == ['steady'] * 2 + ['moved'] + ['steady'] * 3
        assert found[2].rotation == pytest.approx(2, abs=0.3)


def test_the_correction_of_a_moved_camera_is_its_motion():
    rng = np.random.default_rng(0)
    motion = turned(np.eye(4), 2.0, 0.2, rng)
    kept, views, _ = _drive(1, frames=5, moved={4: lambda pose, _: motion @ pose})
    found = find_moved_cameras(kept.matches(6), views, RigSolver(min_iterations=200))[4]
    degrees, metres = pose_distance(found.correction, motion)
    assert found.verdict == 'moved' and degrees < 0.2 and metres < 0.05


def test_two_moved_cameras_are_found():
    move = {i: lambda pose, rng: turned(pose, 2.0, 0.2, rng) for i in (1, 4)}
    kept, views, _ = _drive(0, frames=3, moved=move)
    found = find_moved_cameras(kept.matches(6), views, RigSolver(min_iterations=200))
    assert [i for i, c in enumerate(found) if c.verdict == 'moved'] == [1, 4]


def test_of_two_cameras_none_can_be_blamed():
    move = {1: lambda pose, rng: turned(pose, 3.0, 0.3, rng)}
    kept, views, _ = _drive(0, frames=3, cameras=2, moved=move)
    found = find_moved_cameras(kept.matches(2), views, RigSolver(min_iterations=200))
    assert [c.verdict for c in found] == ['unknown', 'unknown']
    assert max(c.p_value for c in found) < 0.01  # that they contradict each other is known


def test_false_alarms_are_as_rare_as_stated():
    """Where nothing moved: at 10 % about one rig of ten; seven of 30 or more are one in 40."""
    for frames, number in ((1, 200), (4, 60)):
        alarms = 0
        for seed in range(30):
            kept, views, _ = _drive(seed, frames, number=number, outliers=0.2)
            found = find_moved_cameras(
                kept.matches(6), views, RigSolver(min_iterations=50), false_alarms=0.1
            )
            assert all(c.verdict != 'unknown' for c in found)
            alarms += any(c.verdict == 'moved' for c in found)
        assert alarms <= 7, frames


def test_an_error_that_the_network_makes_everywhere_is_allowed_for():
    move = {2: lambda pose, rng: turned(pose, 0.5, 0.05, rng)}
    kept, views, _ = _drive(0, frames=10, moved=move)
    solver, matches = RigSolver(min_iterations=200), kept.matches(6)
    assert find_moved_cameras(matches, views, solver)[2].verdict == 'moved'
    allowed = find_moved_cameras(matches, views, solver, shared=(0.5, 0.05))
    assert all(c.verdict == 'steady' for c in allowed)


def test_a_camera_without_matches_is_unknown():
    kept, views, _ = _drive(0, frames=2)
    matches = kept.matches(6)
    found = find_moved_cameras(matches[matches.view % 6 != 3], views, RigSolver(min_iterations=200))
    assert found[3].verdict == 'unknown' and np.isnan(found[3].p_value)
    assert all(c.verdict == 'steady' for i, c in enumerate(found) if i != 3)


def _all_moved(frames=20):
    move = {i: lambda pose, rng: turned(pose, 0.5, 0.05, rng) for i in range(6)}
    kept, views, true = _drive(0, frames=frames, moved=move, number=100)
    rng = np.random.default_rng(0)
    random_pose(rng)  # the draw of the truth comes first, then those of the cameras
    actual = np.stack([turned(pose, 0.5, 0.05, rng) for pose in make_rig()[1]]) @ true
    return kept.matches(6), views, actual


def test_adjustment_finds_every_camera():
    matches, views, actual = _all_moved()
    solver = RigSolver()
    start = solver.solve(matches, *views.flat(), SIZE).lidar2rig
    found = adjust_rig(matches, views, start, solver)
    before = [pose_distance(pose, want) for pose, want in zip(views.rig2cam[0] @ start, actual)]
    after = [pose_distance(pose, want) for pose, want in zip(found.lidar2cam, actual)]
    assert np.max(after, axis=0)[0] < 0.1 < 0.3 < np.mean(before, axis=0)[0]
    assert np.max(after, axis=0)[1] < 0.04
    assert found.num_matches.min() > 500
    np.testing.assert_array_equal(found.cam2img, views.cam2img)


def test_adjustment_finds_a_lens():
    """A wrong principal point is nearly a turn: what the camera shows where is what is found."""
    matches, views, actual = _all_moved()
    wrong = views.cam2img.copy()
    wrong[1, :2, :2] *= 1.02
    wrong[1, :2, 2] += [3.0, -2.0]
    guess = Views(wrong, views.rig2cam, SIZE)
    solver = RigSolver()
    start = solver.solve(matches, *guess.flat(), SIZE).lidar2rig
    priors = RigPriors(1.0, 0.1, focal=0.03, principal=5.0)
    found = adjust_rig(matches, guess, start, solver, priors)
    focal = found.cam2img[1, 0, 0] / views.cam2img[1, 0, 0]
    assert abs(focal - 1) < 0.005
    right = make_matches(
        views.cam2img[1:2], actual[1:2], np.random.default_rng(5), 200, outliers=0, noise=0
    )
    for pose, intrinsics, low, high in (
        (views.rig2cam[0, 1] @ start, wrong[1], 2.0, 9.0),
        (found.lidar2cam[1], found.cam2img[1], 0.0, 0.5),
    ):
        image = (right.points @ pose[:3, :3].T + pose[:3, 3]) @ intrinsics.T
        error = np.linalg.norm(image[:, :2] / image[:, 2:] - right.pixels, axis=1)
        assert low <= error.mean() < high


def test_adjustment_with_strong_priors_is_the_rigid_rig():
    kept, views, _ = _drive(0, frames=5, outliers=0)
    solver, matches = RigSolver(), kept.matches(6)
    rigid = solver.solve(matches, *views.flat(), SIZE)
    found = adjust_rig(matches, views, rigid.lidar2rig, solver, RigPriors(1e-5, 1e-6))
    np.testing.assert_allclose(found.rig2cam, views.rig2cam[0], atol=1e-5)
    degrees, metres = pose_distance(found.lidar2rig, rigid.lidar2rig)
    assert degrees < 0.02 and metres < 0.01


def test_covariance_of_the_adjustment_holds():
    """True errors of cameras that moved as the priors say, measured by the covariance."""
    inside = []
    for seed in range(25):
        rng = np.random.default_rng(1000 + seed)
        moves = {
            i: exp_motion(rng.normal(0, np.repeat([np.deg2rad(0.5), 0.05], 3))) for i in range(4)
        }
        kept, views, true = _drive(
            seed,
            frames=2,
            cameras=4,
            moved={i: lambda pose, _, move=move: move @ pose for i, move in moves.items()},
        )
        solver, matches = RigSolver(min_iterations=100), kept.matches(4)
        start = solver.solve(matches, *views.flat(), SIZE).lidar2rig
        found = adjust_rig(matches, views, start, solver, RigPriors(0.5, 0.05))
        for i, move in moves.items():
            xi = _xi(found.lidar2cam[i], move @ make_rig(4)[1][i] @ true)
            inside.append(xi @ np.linalg.solve(found.covariance[i], xi))
    shares = [np.mean(np.array(inside) <= chi2.ppf(level, 6)) for level in (0.5, 0.9)]
    assert abs(shares[0] - 0.5) < 0.2 and shares[1] > 0.75, shares


def test_jacobian_of_the_adjustment_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    kept, views, true = _drive(0, cameras=2, number=4, outliers=0)
    matches = kept.matches(2)
    layout = _Layout(2, RigPriors(focal=0.1, principal=5.0))
    x = rng.normal(0, 0.1, 6 + len(layout.sigmas))

    def residuals(x):
        own, intrinsics = layout.cameras(x, views.cam2img)
        values = []
        for point, pixel, view in zip(matches.points, matches.pixels, matches.view):
            cam = own[view] @ views.rig2cam[0, view] @ true @ exp_motion(x[:6]) @ [*point, 1]
            image = intrinsics[view] @ cam[:3]
            values += list((image[:2] / image[2] - pixel) / 2.0)
        return np.array([*values, *(x[6:] / layout.sigmas)])

    got = layout.jacobian(x, matches, matches.view, views.rig2cam[0], true, views.cam2img, 2.0)
    want = approx_fprime(x, residuals, 1e-7)
    np.testing.assert_allclose(got.toarray(), want, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    'call, words',
    [
        (lambda: KeptMatches(per_image=0), 'per_image must be at least 1'),
        (lambda: RigPriors(rotation=0), 'rotation must be positive'),
        (lambda: RigPriors(focal=float('nan')), 'focal must be positive'),
        (lambda: find_moved_cameras(None, None, None, 1.5), 'false_alarms must lie'),
    ],
)
def test_wrong_settings_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_nothing_to_adjust_by():
    kept, views, _ = _drive(0)
    with pytest.raises(ValueError, match='nothing to adjust it by'):
        adjust_rig(kept.matches(6)[:0], views, np.eye(4), RigSolver())
