"""Calibration of rigs from images and scans, with a model whose matches are right."""

import json
from dataclasses import replace

import numpy as np
import pytest

from nclr_mm.apis import (
    RigFrame,
    calibrate_rig,
    ego_motion,
    frames_of,
    frames_of_folder,
    stored_rig,
)
from nclr_mm.calibration import RigPriors, Thresholds, pose_distance
from nclr_mm.datasets import CalibrationDataset
from nclr_mm.models.task_modules import exp_motion
from tests.apis.seeing_model import CAM2IMG, TRUE, SeeingModel, image, of_data_set, pose, scan
from tests.rigs import turned

NAMES = ['front', 'left', 'right']
ALL = np.concatenate([TRUE, pose(-90, [0.3, 0.2, 0.1])[None]])
BOTH = [CAM2IMG] * 3
# The vehicle's frame is not the LiDAR's.
LIDAR2RIG = exp_motion(np.array([0.02, -0.01, 0.4, 1.2, 0.1, 1.8]))
RIG2CAM = ALL @ np.linalg.inv(LIDAR2RIG)


def frames(number=3, **changes):
    return [
        RigFrame(scan(i), [image(i)] * 3, stamp=float(i), name=f'f{i}', **changes)
        for i in range(number)
    ]


def seeing(number=3, **settings):
    settings = dict(noise=1.0, true=ALL, **settings)
    return SeeingModel([scan(i) for i in range(number)], **settings)


def run(model, given, **settings):
    return calibrate_rig(model, given, BOTH, RIG2CAM, NAMES, **dict(looks=2, **settings))


def test_a_rig_of_three_cameras():
    found = run(seeing(), frames())
    assert found.estimate.verdict == 'ok' and found.estimate.num_looks == 6
    assert found.estimate.num_frames == 3 and found.estimate.agreement == 1
    degrees, metres = pose_distance(found.estimate.lidar2rig, LIDAR2RIG)
    assert degrees < 0.1 and metres < 0.05
    for name, true in zip(NAMES, ALL):
        camera = found.cameras[name]
        degrees, metres = pose_distance(camera.lidar2cam, true)
        assert degrees < 0.1 and metres < 0.05
        degrees, metres = pose_distance(camera.own_lidar2cam, true)
        assert degrees < 0.2 and metres < 0.1
        assert camera.motion.verdict == 'steady' and camera.num_empty == 0
        assert camera.image_size == (400, 640)
        # One pixel of the network's 256 is 2.5 of the image's 640 columns, in u and in v.
        assert camera.reproj_error == pytest.approx(2.5 * np.sqrt(2), rel=0.1)
    assert [number for number, _, _ in found.history] == [1, 2, 3]
    assert not found.motion_known and found.adjusted is None


def test_a_covered_camera_takes_its_pose_from_the_rig():
    found = run(seeing(blind=[1]), frames())
    covered = found.cameras['left']
    assert found.estimate.verdict == 'ok'
    assert pose_distance(covered.lidar2cam, ALL[1])[0] < 0.1
    assert covered.motion.verdict == 'unknown' and not covered.motion.own.valid
    assert covered.num_matches == 0 and covered.num_empty == 3
    assert np.isinf(covered.reproj_error)


def test_all_cameras_covered():
    found = run(seeing(blind=[0, 1, 2]), frames())
    assert found.estimate.verdict == 'failed' and not found.history
    assert {camera.motion.verdict for camera in found.cameras.values()} == {'unknown'}


def test_a_moved_camera_is_named_and_spoils_the_verdict():
    true = ALL.copy()
    true[2] = turned(true[2], 2.0, 0.1, np.random.default_rng(0))
    found = run(SeeingModel([scan(i) for i in range(3)], noise=1.0, true=true), frames())
    assert found.cameras['right'].motion.verdict == 'moved'
    assert found.estimate.verdict == 'doubtful'
    assert 'right is not where the rest of the rig says' in found.estimate.reasons


def test_a_mirrored_camera_spoils_nothing():
    model = seeing()
    solve = model.predict

    def mirrored(scene):
        predictions = solve(scene)
        predictions[0].match_pixels[1, :, 0] = 255 - predictions[0].match_pixels[1, :, 0]
        return predictions

    model.predict = mirrored
    found = run(model, frames())
    degrees, metres = pose_distance(found.cameras['front'].lidar2cam, ALL[0])
    assert degrees < 0.2 and metres < 0.1
    assert found.cameras['left'].motion.verdict != 'steady'


def test_adjusting_every_camera():
    true = ALL.copy()
    rng = np.random.default_rng(0)
    for i in range(3):
        true[i] = turned(true[i], 0.5, 0.03, rng)
    model = SeeingModel([scan(i) for i in range(3)], noise=0.5, true=true)
    found = run(model, frames(), adjust=RigPriors(1.0, 0.1))
    for name, want in zip(NAMES, true):
        degrees, metres = pose_distance(found.cameras[name].lidar2cam, want)
        assert degrees < 0.15 and metres < 0.06


def test_adjusting_a_focal_length():
    wrong = [CAM2IMG * np.array([[1.02], [1.02], [1]]) for _ in range(3)]
    for matrix in wrong:
        matrix[:2, 2] = CAM2IMG[:2, 2]
    # The model projects with what it is told; a network would see the true image.
    model = seeing()
    solve = model.predict

    def truly(scene):
        moved, cam2img, size = scene
        scaled = np.array(cam2img)
        scaled[:, :2, :2] /= 1.02
        return solve((moved, scaled, size))

    model.predict = truly
    found = calibrate_rig(
        model, frames(), wrong, RIG2CAM, NAMES, looks=2, adjust=RigPriors(0.5, 0.05, focal=0.05)
    )
    for camera in found.cameras.values():
        assert camera.cam2img[0, 0] == pytest.approx(CAM2IMG[0, 0], rel=0.008)
        assert camera.cam2img[1, 1] == pytest.approx(CAM2IMG[1, 1], rel=0.008)


def test_motion_between_the_stamps():
    """The vehicle drives half a metre until the cameras fire."""
    at_scan = exp_motion(np.array([0, 0, 0.3, 5.0, 2.0, 0.0]))
    step = exp_motion(np.array([0, 0, 0.01, 0.5, 0.0, 0.0]))
    motion = ego_motion(at_scan, np.stack([at_scan @ step] * 3))
    np.testing.assert_allclose(motion, np.stack([np.linalg.inv(step)] * 3), atol=1e-12)
    seen = RIG2CAM @ motion @ LIDAR2RIG
    model = SeeingModel([scan(i) for i in range(3)], noise=1.0, true=seen)
    found = run(model, frames(motion=motion))
    assert found.motion_known
    degrees, metres = pose_distance(found.estimate.lidar2rig, LIDAR2RIG)
    assert degrees < 0.1 and metres < 0.05
    assert pose_distance(found.cameras['front'].lidar2cam, ALL[0])[1] < 0.05


def test_going_on_after_an_interruption(tmp_path):
    state = tmp_path / 'state.npz'
    whole = run(seeing(), frames())

    def broken():
        yield from frames(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(seeing(), broken(), state=state)
    later = seeing()
    later.rng = np.random.default_rng(0)
    for _ in range(2 * 2 * 3):  # the noise that the first two frames drew
        later.rng.normal(0, 1, (3000, 2))
    read = []
    given = [
        replace(frame, points=lambda i=i: read.append(i) or scan(i))
        for i, frame in enumerate(frames())
    ]
    found = run(later, given, state=state)
    assert read == [2]  # what is done is not read again
    # but for the last digit, which depends on where numbers lie in memory
    np.testing.assert_allclose(found.estimate.lidar2rig, whole.estimate.lidar2rig, atol=1e-12)
    np.testing.assert_allclose(found.estimate.covariance, whole.estimate.covariance, rtol=1e-9)
    with pytest.raises(ValueError, match=r'state\.npz is of a calibration with another seed'):
        run(seeing(), frames(), state=state, seed=1)


def test_what_is_done_is_kept_where_a_later_frame_is_wrong(tmp_path):
    state = tmp_path / 'state.npz'
    wrong = [*frames(2), RigFrame(scan(2), [image(2)] * 3, stamp=0.5, name='f2')]
    with pytest.raises(ValueError, match=r'Frame f2 has the stamp 0\.5, which is not after the 1'):
        run(seeing(), wrong, state=state)
    done = []
    run(seeing(), frames(), state=state, progress=done.append)
    assert done == [3]


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(frames=[]), 'no frame'),
        (dict(looks=0), 'looks must be at least 1'),
        (dict(shared=(0.0, -1.0)), 'shared error must not be negative'),
        (dict(false_alarms=np.nan), 'false_alarms must lie in'),
        (
            dict(cam2img=BOTH + np.array([[0, 0, 5000.0], [0, 0, 0], [0, 0, 0]])),
            'front has its principal point at .* far outside its image of 640x400',
        ),
        (dict(rig2cam=RIG2CAM[:2]), 'a 4x4 matrix for each of the 3 cameras'),
        (dict(rig2cam=1.1 * RIG2CAM), 'rig2cam is not a rigid motion'),
        (dict(cameras=['a', 'a', 'b']), 'each by its own name'),
        (dict(frames=[RigFrame(scan(0), [image(0)] * 2, name='f0')]), 'f0 has 2 images for 3'),
        (dict(frames=[RigFrame(scan(0), ['gone.png'] * 3)]), 'gone.png does not exist'),
        (
            dict(frames=frames(1, motion=np.tile(np.eye(4), (2, 1, 1)))),
            r'motion of frame f0 must be \(3, 4, 4\)',
        ),
        (
            dict(frames=[*frames(1), RigFrame(scan(1), [image(1)[:200]] * 3, name='f1')]),
            'front in frame f1 is of 640x200 pixels, those before it of 640x400',
        ),
    ],
)
def test_unfit_input(change, words):
    given = dict(frames=frames(), cam2img=BOTH, rig2cam=RIG2CAM, cameras=NAMES, looks=1)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        calibrate_rig(seeing(), **dict(given, **change))


@pytest.fixture
def drive(tmp_path):
    """A data set of two scenes whose stored calibration is off."""
    stored = ALL @ np.linalg.inv(exp_motion(np.array([0, 0, 0.02, 0.1, 0, 0])))
    of_data_set(tmp_path, NAMES, stored, 3, lambda i: 'one' if i < 2 else 'two')
    return CalibrationDataset('infos.json', str(tmp_path), test_mode=True)


def test_frames_of_a_data_set(drive):
    cam2img, rig2cam = stored_rig(drive, 'one')
    found = calibrate_rig(
        seeing(), frames_of(drive, 'one'), cam2img, rig2cam, drive.cameras, looks=2
    )
    assert found.estimate.num_frames == 2 and found.motion_known
    off = exp_motion(np.array([0, 0, 0.02, 0.1, 0, 0]))
    degrees, metres = pose_distance(found.estimate.lidar2rig, off)
    assert degrees < 0.15 and metres < 0.08
    assert len(list(frames_of(drive))) == 3
    for call in (lambda: list(frames_of(drive, 'three')), lambda: stored_rig(drive, 'three')):
        with pytest.raises(ValueError, match='no scene three'):
            call()


def test_frames_of_two_vehicles_are_not_one_rig(drive, tmp_path):
    path = tmp_path / 'infos.json'
    infos = json.loads(path.read_text())
    infos['data_list'][2]['images']['left']['cam2img'][0][0] += 5
    path.write_text(json.dumps(infos))
    other = CalibrationDataset('infos.json', str(tmp_path), test_mode=True)
    assert len(list(frames_of(other, 'one'))) == 2
    with pytest.raises(ValueError, match=r'left has other intrinsics in frame .* \(scene two\)'):
        list(frames_of(other))


def test_a_state_is_of_its_drive(tmp_path):
    state = tmp_path / 'state.npz'
    run(seeing(), frames(), state=state)
    other = [RigFrame(f.points, f.images, stamp=f.stamp, name=f'other {f.name}') for f in frames()]
    moved = frames(motion=np.tile(exp_motion(np.array([0, 0, 0, 1.0, 0, 0])), (3, 1, 1)))
    for given, words in (
        (other, 'other f0 is not the frame f0'),
        (moved, 'f0 is not the frame f0 that the state was made from, or moves otherwise'),
        (frames()[:2], 'of 3 frames, but only 2 are given'),
        ([], 'of 3 frames, but only 0 are given'),
    ):
        with pytest.raises(ValueError, match=words):
            run(seeing(), given, state=state)
    assert run(seeing(), frames(), state=state).estimate.num_frames == 3


def test_a_camera_that_would_be_far_from_the_lidar_is_doubtful():
    far = Thresholds(distance=0.01)
    found = run(seeing(), frames(), thresholds=far)
    assert found.estimate.verdict == 'doubtful'
    assert 'm from the LiDAR' in found.estimate.reasons[0]


@pytest.mark.parametrize(
    'text, words',
    [
        ('{"0": 1}', 'frame 0 must map names to poses'),
        ('{"0": {"lidar": "x", "front": 1}}', 'frame 0: lidar must hold numbers'),
        ('{"0": {"lidar": EYE, "front": EYE, "stamp": "noon"}}', 'stamp must be a number'),
        ('{"0": {"lidar": EYE, "front": EYE, "stamp": NaN}}', 'stamp holds numbers that are'),
    ],
)
def test_unfit_poses_are_named(tmp_path, text, words):
    for name in ('points/0.bin', 'front/0.png'):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b'')
    text = text.replace('EYE', str(np.eye(4).tolist()))
    (tmp_path / 'poses.json').write_text(text)
    with pytest.raises(ValueError, match=words):
        frames_of_folder(tmp_path, {'front': None})


def test_frames_of_a_folder_are_in_the_order_of_their_numbers(tmp_path):
    names = [f'frame{i}' for i in (0, 1, 2, 9, 10, 11)]
    for folder, suffix in (('points', 'bin'), ('front', 'png')):
        (tmp_path / folder).mkdir()
        for name in names[::-1]:
            (tmp_path / folder / f'{name}.{suffix}').write_bytes(b'')
    poses = {name: dict(lidar=np.eye(4).tolist(), front=np.eye(4).tolist()) for name in names}
    for stamp, name in enumerate(names):
        poses[name]['stamp'] = float(stamp)
    (tmp_path / 'poses.json').write_text(json.dumps(poses))
    frames = frames_of_folder(tmp_path, {'front': None})
    assert [frame.name for frame in frames] == names
    assert [frame.stamp for frame in frames] == list(range(6))
    (tmp_path / 'front/frame09.png').write_bytes(b'')
    message = r'front has two files of the frame .*: frame09\.png and frame9\.png'
    with pytest.raises(ValueError, match=message):
        frames_of_folder(tmp_path, {'front': None})


FAULTS = {
    'motion that is not finite': (dict(motion=np.nan), 'its motion are not finite'),
    'motion of another camera': (dict(motion=lambda a: a[:, :1]), r'its motion must be float64 \('),
    'one name less': (dict(names=lambda a: a[1:]), 'its motion must be'),
    'no poses': (dict(look_poses=None), 'it lacks look_poses'),
    'text': (dict(network_size=lambda a: a.astype(str)), 'its network_size must be int64'),
    'matches of another frame': (dict(frame=3), 'matches of a frame that is not there'),
    'matches of another camera': (dict(camera=-1), 'matches of a camera that is not there'),
    'pixels that are not finite': (dict(pixels=np.inf), 'its pixels are not finite'),
    'points of a plane': (dict(points=lambda a: a[:, :2]), r'its points must be float64 \(.*, 3\)'),
    'a point less': (dict(points=lambda a: a[1:]), 'its pixels must be'),
}


@pytest.fixture(scope='module')
def stored(tmp_path_factory):
    state = tmp_path_factory.mktemp('state') / 'state.npz'
    run(seeing(), frames(), state=state)
    with np.load(state) as file:
        return dict(file)


@pytest.mark.parametrize('fault', FAULTS)
def test_a_state_that_someone_made(fault, stored, tmp_path):
    """Where one number is another, or an array of another shape."""
    changes, message = FAULTS[fault]
    ((name, change),) = changes.items()
    arrays = {key: values.copy() for key, values in stored.items()}
    if change is None:
        del arrays[name]
    elif callable(change):
        arrays[name] = change(arrays[name])
    else:
        arrays[name][-1] = change
    state = tmp_path / 'state.npz'
    np.savez(state, **arrays)
    with pytest.raises(ValueError, match=rf'state\.npz is not a state of an earlier.*{message}'):
        run(seeing(), frames(), state=state)


def test_a_state_that_unpacks_to_more_than_it_is(stored, tmp_path):
    state = tmp_path / 'state.npz'
    np.savez_compressed(state, **stored, more=np.zeros(10_000_000))
    assert state.stat().st_size < 1_000_000
    with pytest.raises(ValueError, match=r'state\.npz is not a state.*it is compressed'):
        run(seeing(), frames(), state=state)
    np.savez(state, **stored)
    assert run(seeing(), frames(), state=state).estimate.num_frames == 3
