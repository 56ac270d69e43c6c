"""tools/calibrate.py from files to files."""

import json

import cv2
import numpy as np
import pytest
import torch
import yaml

from nclr_mm.apis import CameraCalibration, init_model
from nclr_mm.calibration import pose_distance, read_extrinsics
from nclr_mm.models.task_modules import exp_motion
from tests.apis.seeing_model import CAM2IMG, TRUE, SeeingModel, image, scan
from tests.poses import assert_near
from tests.programs import run_program

LIDAR2RIG = exp_motion(np.array([0.02, -0.01, 0.4, 1.2, 0.1, 1.8]))
CONFIG = 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py'


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('calibrate')


@pytest.fixture
def rig(tmp_path):
    """Files of two frames of two cameras."""
    for i in range(2):
        scan(i).astype(np.float32).tofile(tmp_path / f'scan{i}.bin')
        for name in ('front', 'left'):
            cv2.imwrite(str(tmp_path / f'{name}{i}.png'), image(i))
    names = dict(front=CAM2IMG.tolist(), left=CAM2IMG.tolist())
    (tmp_path / 'K.json').write_text(json.dumps(names))
    off = TRUE.copy()
    off[:, :3, 3] += [0, 0, 0.5]
    for name, poses in dict(initial=off, truth=TRUE).items():
        poses = {camera: pose.tolist() for camera, pose in zip(names, poses)}
        (tmp_path / f'{name}.json').write_text(json.dumps(poses))
    return tmp_path


def arguments(rig, *more, frames=2):
    files = [str(rig / f'scan{i}.bin') for i in range(frames)]
    result = ['config.py', 'model.pth', '--points', *files]
    for name in ('front', 'left'):
        result += ['--image', *(str(rig / f'{name}{i}.png') for i in range(frames))]
    return [*result, '--intrinsics', str(rig / 'K.json'), '-o', str(rig / 'out'), *map(str, more)]


def test_two_cameras_of_two_frames(tool, rig, monkeypatch, capsys):
    model = SeeingModel([scan(0), scan(1)], noise=0.5)
    monkeypatch.setattr(tool, 'init_model', lambda *args: model)
    known = ['--initial', rig / 'initial.json', '--truth', rig / 'truth.json']
    exports = ['--export', 'kitti', 'nuscenes', 'ros']
    assert tool.main(arguments(rig, *known, *exports, '--looks', 2)) == 0
    report = json.loads((rig / 'out/extrinsics.json').read_text())
    for name, true in zip(('front', 'left'), TRUE):
        camera = report['cameras'][name]
        assert camera['verdict'] == 'ok' and camera['num_looks'] == 4
        assert_near(np.array(camera['lidar2cam']), true, 0.1, 0.05)
        assert camera['from_initial']['translation_m'] == pytest.approx(0.5, abs=0.05)
        assert camera['from_truth']['translation_m'] < 0.05
        assert np.shape(camera['covariance']) == (6, 6)
        picture = cv2.imread(str(rig / f'out/overlay_{name}.jpg'))
        assert picture.shape[0] > 3 * 400 and picture.shape[1] > 640
        assert (rig / f'out/calib_{name}.txt').read_text().startswith('P0: ')
    records = json.loads((rig / 'out/calibrated_sensor.json').read_text())
    assert len(records) == 3
    transforms = yaml.safe_load((rig / 'out/static_transforms.yaml').read_text())
    assert [t['child_frame_id'] for t in transforms] == [
        'front_optical_frame',
        'left_optical_frame',
    ]
    printed = capsys.readouterr().out
    assert 'front: ok' in printed and 'error: 0.' in printed


def test_a_full_disk_is_one_sentence(tool, rig, monkeypatch, capsys, limit_files):
    monkeypatch.setattr(tool, 'init_model', lambda *args: SeeingModel([scan(0), scan(1)]))
    limit_files(500)
    with pytest.raises(SystemExit) as end:
        tool.main(arguments(rig, '--looks', 2))
    assert end.value.code == 2
    reason = f'[Errno 27] {rig}/out/extrinsics.json cannot be written: File too large.\n'
    assert capsys.readouterr().err.partition(': ')[2] == reason
    assert list((rig / 'out').iterdir()) == []


def test_refining(tool, rig, monkeypatch, capsys):
    model = SeeingModel([scan(0), scan(1)], noise=0.5)
    monkeypatch.setattr(tool, 'init_model', lambda *args: model)
    known = ['--truth', rig / 'truth.json']
    assert tool.main(arguments(rig, *known, '--looks', 2, '--refine')) == 0
    camera = json.loads((rig / 'out/extrinsics.json').read_text())['cameras']['front']
    refinement = camera['refinement']
    moved = pose_distance(np.array(camera['lidar2cam']), np.array(refinement['lidar2cam_before']))
    assert moved == pytest.approx(tuple(refinement['moved_by'].values()))
    before = pose_distance(np.array(refinement['lidar2cam_before']), TRUE[0])
    assert before == pytest.approx(tuple(refinement['from_truth_before'].values()))
    assert refinement['edge_score'] >= refinement['edge_score_before'] > 0
    printed = capsys.readouterr().out
    assert 'refined by: ' in printed and 'error before refining: ' in printed
    assert 'with edges of 2 frames; fewer than 5 may mislead' in printed
    assert 'not refined' not in printed


def test_what_it_writes_can_be_its_initial_pose(tool, rig, monkeypatch):
    model = SeeingModel([scan(0), scan(1)])
    monkeypatch.setattr(tool, 'init_model', lambda *args: model)
    assert tool.main(arguments(rig, '--looks', 2)) == 0
    written = rig / 'out/extrinsics.json'
    initial = rig / 'first.json'
    written.rename(initial)
    assert tool.main(arguments(rig, '--looks', 2, '--initial', initial)) == 0
    gap = json.loads(written.read_text())['cameras']['front']['from_initial']
    assert gap['rotation_deg'] < 1e-3 and gap['translation_m'] < 1e-3


def test_half_of_the_frames_are_dark(tool, rig, monkeypatch, capsys):
    model = SeeingModel([scan(0), scan(1)], dark=[1])
    monkeypatch.setattr(tool, 'init_model', lambda *args: model)
    assert tool.main(arguments(rig, '--looks', 1)) == 3
    assert 'front: doubtful; 50% of 2 looks agree' in capsys.readouterr().out


def test_a_camera_that_sees_nothing(tool, rig, monkeypatch):
    model = SeeingModel([scan(0), scan(1)], blind=[1])
    monkeypatch.setattr(tool, 'init_model', lambda *args: model)
    assert tool.main(arguments(rig, '--looks', 2, '--export', 'ros')) == 4
    cameras = json.loads((rig / 'out/extrinsics.json').read_text())['cameras']
    assert cameras['left']['lidar2cam'] is None
    assert cameras['left']['deviation'] == dict(rotation_deg=None, translation_m=None)
    assert cameras['front']['verdict'] == 'ok'
    (transform,) = yaml.safe_load((rig / 'out/static_transforms.yaml').read_text())
    assert transform['child_frame_id'] == 'front_optical_frame'


def test_a_camera_that_fails_leaves_nothing_that_could_pass_for_a_result(
    tool, rig, monkeypatch, capsys
):
    scans = [scan(0), scan(1)]
    export = ('--looks', 2, '--export', 'kitti', 'ros', 'nuscenes')
    monkeypatch.setattr(tool, 'init_model', lambda *args: SeeingModel(scans))
    assert tool.main(arguments(rig, *export)) == 0
    good = sorted(path.name for path in (rig / 'out').iterdir())
    assert len(good) == 7
    (rig / 'out/notes.txt').write_text('mine')
    monkeypatch.setattr(tool, 'init_model', lambda *args: SeeingModel(scans, blind=[0, 1]))
    capsys.readouterr()
    assert tool.main(arguments(rig, *export)) == 4
    assert sorted(path.name for path in (rig / 'out').iterdir()) == [
        'extrinsics.json',
        'notes.txt',
        'overlay_front.jpg',
        'overlay_left.jpg',
    ]
    assert 'No camera has a pose: nothing was written' in capsys.readouterr().out


def test_a_pose_that_few_looks_agree_with_is_not_given_away(tool, rig, monkeypatch):
    # Each look sees another place: the joint pose explains matches of one of them.
    found = CameraCalibration(
        lidar2cam=TRUE[0],
        covariance=np.eye(6),
        num_matches=90,
        num_inliers=30,
        reproj_error=1.0,
        num_looks=8,
        agreement=0.1,
        verdict='failed',
        reasons=['only 10% of 8 looks agree with the joint pose'],
        cam2img=np.eye(3),
        image_size=(400, 640),
    )
    described = tool.describe(found, TRUE[0])
    assert described['lidar2cam'] is None and described['cam2lidar'] is None
    assert described['covariance'] is None and 'from_truth' not in described
    (rig / 'failed.json').write_text(json.dumps(dict(cameras=dict(front=described))))
    with pytest.raises(ValueError, match=r'failed\.json holds no pose of a camera'):
        read_extrinsics(rig / 'failed.json')


def test_as_a_program_with_an_untrained_network(repo, rig):
    torch.manual_seed(0)
    model = init_model(repo / CONFIG)
    torch.save(dict(state_dict=model.state_dict()), rig / 'model.pth')
    given = arguments(rig, '--looks', 1, frames=1)
    given[:2] = [CONFIG, str(rig / 'model.pth')]
    done = run_program('tools/calibrate.py', *given)
    assert done.returncode == 4, done.stdout + done.stderr
    assert 'front: failed' in done.stdout
    assert (rig / 'out/overlay_front.jpg').is_file()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (['--points', 'gone.bin', 'gone.bin'], 'gone.bin does not exist'),
        (['--intrinsics', 'gone.json'], 'gone.json does not exist'),
        (['--image', '{rig}/front0.png'], r'an image for each of the 2 scans, got [2, 2, 1]'),
        (['--camera', 'front', 'rear'], "K.json has no camera 'rear'; it has front, left"),
        (['--camera', 'front'], '2 --image options for the 1 cameras front'),
        (['--initial', '{rig}/one.json'], 'one.json has no pose of the camera left'),
        (['--looks', '0'], '--looks must be at least 1'),
        (['--seed', '-1'], '--seed must not be negative, got -1'),
        (['--intensity-scale', 'nan'], '--intensity-scale must be a number, got nan'),
        (['--columns', '7'], 'no rows of 7 float32'),
        (['--points', '{rig}/scan0.bin', '{rig}/front0.png'], 'of no known format'),
        ([], 'There is no config config.py'),
    ],
)
def test_wrong_input_ends_in_a_sentence(tool, rig, change, message, capsys):
    (rig / 'one.json').write_text(json.dumps(dict(front=TRUE[0].tolist())))
    with pytest.raises(SystemExit) as end:
        tool.main(arguments(rig, *(text.format(rig=rig) for text in change)))
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert not (rig / 'out').exists()


@pytest.mark.parametrize('scale', [1, 1000])
@pytest.mark.parametrize('source', ['cameras', 'files of a rig', 'folder of a rig'])
def test_scans_of_a_map_or_in_millimetres(tool, rig, monkeypatch, capsys, source, scale):
    points = scan(1)
    points[:, :3] = points[:, :3] * scale + (scale == 1) * np.array([500_000, 5_400_000, 100])
    points.astype(np.float32).tofile(rig / 'scan1.bin')
    monkeypatch.setattr(tool, 'init_model', lambda *args: SeeingModel([scan(0), scan(1)]))
    if source == 'cameras':
        given, name = arguments(rig, '--looks', 1), f'{rig}/scan1.bin'
    else:
        files_given = files(rig) if source == 'files of a rig' else ['--frames', frames_folder(rig)]
        given = rig_arguments(rig, rig_file(rig) + files_given)
        name = rig / ('scan1.bin' if source == 'files of a rig' else 'drive/points/1.bin')
    with pytest.raises(SystemExit) as end:
        tool.main(given)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.partition(': ')[2].startswith(f'{name}: half of the points are farther than')
    assert error.count('\n') == 1
    assert not list((rig / 'out').glob('*'))


@pytest.mark.parametrize('inflation', [None, 4.0])
def test_the_bound_is_stated_with_its_scale(tool, rig, monkeypatch, capsys, inflation):
    covariances = []
    for factor in (1.0, inflation):
        model = SeeingModel([scan(0), scan(1)], noise=2.0)
        model.rig_solver.inflation = factor
        monkeypatch.setattr(tool, 'init_model', lambda *args, model=model: model)
        assert tool.main(arguments(rig, '--looks', 3)) == 0
        printed = capsys.readouterr().out
        report = json.loads((rig / 'out/extrinsics.json').read_text())
        camera = report['cameras']['front']
        covariances.append(np.array(camera['covariance']))
        degrees, metres = camera['bound_90'].values()
        assert f'90 % bound {degrees:.2f} deg, {metres:.3f} m' in printed
    assert report['covariance_scale'] == inflation
    assert ('(too small: no scale is fitted)' in printed) == (inflation is None)
    np.testing.assert_allclose(covariances[1], covariances[0] * (inflation or 1), rtol=1e-6)


def test_images_of_several_sizes(tool, rig, capsys):
    cv2.imwrite(str(rig / 'left1.png'), image(0)[:200])
    with pytest.raises(SystemExit):
        tool.main(arguments(rig))
    assert 'left1.png is 640x200, but' in capsys.readouterr().err


def rig_file(folder, change=lambda cameras: None):
    """A rig file whose frame is neither the LiDAR's nor a camera's."""
    rig2cam = TRUE @ np.linalg.inv(LIDAR2RIG)
    cameras = {
        name: dict(cam2img=CAM2IMG.tolist(), width=640, height=400, rig2cam=matrix.tolist())
        for name, matrix in zip(('front', 'left'), rig2cam)
    }
    cameras['left']['cam2rig'] = np.linalg.inv(rig2cam[1]).tolist()
    del cameras['left']['rig2cam']
    change(cameras)
    (folder / 'rig.json').write_text(json.dumps(dict(cameras=cameras)))
    return ['--rig', folder / 'rig.json']


def frames_folder(rig):
    folder = rig / 'drive'
    for name in ('points', 'front', 'left'):
        (folder / name).mkdir(parents=True)
    for i in range(2):
        (rig / f'scan{i}.bin').rename(folder / f'points/{i}.bin')
        for name in ('front', 'left'):
            (rig / f'{name}{i}.png').rename(folder / f'{name}/{i}.png')
    return folder


def rig_arguments(rig, source, *more):
    out = ['-o', rig / 'out', '--looks', 2]
    return [str(x) for x in ('config.py', 'model.pth', *source, *out, *more)]


def files(rig):
    scans = [rig / f'scan{i}.bin' for i in range(2)]
    result = ['--points', *scans]
    for name in ('front', 'left'):
        result += ['--image', *(rig / f'{name}{i}.png' for i in range(2))]
    return result


@pytest.mark.parametrize('source', ['files', 'folder'])
def test_a_rig(tool, rig, monkeypatch, capsys, source):
    model = SeeingModel([scan(0), scan(1)], noise=0.5)
    monkeypatch.setattr(tool, 'init_model', lambda *args: model)
    given = rig_file(rig) + (files(rig) if source == 'files' else ['--frames', frames_folder(rig)])
    known = ['--initial', rig / 'initial.json', '--truth', rig / 'truth.json']
    exports = ['--export', 'kitti', 'nuscenes', 'ros', '--adjust', 0.5, 0.05]
    assert tool.main(rig_arguments(rig, given, *known, *exports)) == 0
    report = json.loads((rig / 'out/extrinsics.json').read_text())
    pose = np.array(report['rig']['lidar2rig'])
    assert_near(pose, LIDAR2RIG, 0.1, 0.05)
    assert np.array(report['rig']['covariance']).shape == (6, 6)
    assert [row['frames'] for row in report['rig']['history']] == [1, 2]
    assert report['rig']['motion_between_stamps'] == 'not known'
    for name, true in zip(('front', 'left'), TRUE):
        camera = report['cameras'][name]
        assert_near(np.array(camera['lidar2cam']), true, 0.1, 0.05)
        assert_near(np.array(camera['own']['lidar2cam']), true, 0.2, 0.1)
        assert camera['from_initial']['translation_m'] == pytest.approx(0.5, abs=0.05)
        assert camera['from_truth']['rotation_deg'] < 0.1
        assert camera['motion']['verdict'] == 'steady'
        assert np.array(camera['adjusted_covariance']).shape == (6, 6)
        text = (rig / f'out/calib_{name}.txt').read_text()
        assert 'Tr' in text
        # before, after and truth
        assert cv2.imread(str(rig / f'out/overlay_{name}.jpg')).shape[0] > 3 * 400
    assert cv2.imread(str(rig / 'out/overlay.jpg')).shape[1] > 3 * 480
    assert cv2.imread(str(rig / 'out/rig.png')) is not None
    printed = capsys.readouterr().out
    assert 'rig: ok' in printed and 'is not known, and not taken out' in printed


def test_poses_of_a_folder_take_the_motion_out(tool, rig, monkeypatch):
    step = exp_motion(np.array([0, 0, 0.01, 0.4, 0, 0]))
    rig2cam = TRUE @ np.linalg.inv(LIDAR2RIG)
    seen = rig2cam @ np.linalg.inv(step) @ LIDAR2RIG  # the vehicle has driven on by one step
    model = SeeingModel([scan(0), scan(1)], noise=0.5, true=seen)
    monkeypatch.setattr(tool, 'init_model', lambda *args: model)
    given = rig_file(rig) + ['--frames', frames_folder(rig)]
    poses = {}
    for i in range(2):
        start = exp_motion(np.array([0, 0, 0.1 * i, 2.0 * i, 0, 0]))
        later = (start @ step).tolist()
        poses[str(i)] = dict(stamp=float(i), lidar=start.tolist(), front=later, left=later)
    (rig / 'drive/poses.json').write_text(json.dumps(poses))
    assert tool.main(rig_arguments(rig, given)) == 0
    report = json.loads((rig / 'out/extrinsics.json').read_text())
    assert report['rig']['motion_between_stamps'] == 'taken out'
    assert_near(np.array(report['rig']['lidar2rig']), LIDAR2RIG, 0.1, 0.05)


def test_all_cameras_of_a_rig_covered(tool, rig, monkeypatch, capsys):
    model = SeeingModel([scan(0), scan(1)], blind=[0, 1])
    monkeypatch.setattr(tool, 'init_model', lambda *args: model)
    assert tool.main(rig_arguments(rig, rig_file(rig) + files(rig), '--export', 'kitti')) == 4
    report = json.loads((rig / 'out/extrinsics.json').read_text())
    assert report['rig']['lidar2rig'] is None and report['cameras']['front']['lidar2cam'] is None
    assert report['cameras']['front']['frames_without_a_match'] == 2
    assert not list((rig / 'out').glob('calib*')) and not (rig / 'out/rig.png').exists()
    assert 'rig: failed' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('change', 'source', 'message'),
    [
        (lambda c: c['front'].pop('rig2cam'), [], 'front has neither rig2cam nor cam2rig'),
        (lambda c: c['front'].pop('cam2img'), [], 'front has neither a camera matrix'),
        (
            lambda c: c['front'].update(rig2cam=(2 * np.eye(4)).tolist()),
            [],
            'front: rig2cam is not a rigid motion',
        ),
        (lambda c: c['front'].update(width=641), [], 'front0.png'),
        (lambda c: c.update(rear=c['front']), [], 'for the 3 cameras of'),
        (None, ['--frames', '{rig}'], 'give no --points'),
        (None, ['--split', 'test'], '--split takes frames and rig from the data set'),
        (None, ['--adjust-focal', '0.1'], 'need --adjust'),
        (None, ['--rig', 'gone.json'], '--rig: gone.json does not exist'),
    ],
)
def test_a_wrong_rig_ends_in_a_sentence(tool, rig, monkeypatch, capsys, change, source, message):
    monkeypatch.setattr(tool, 'init_model', lambda *args: SeeingModel([scan(0), scan(1)]))
    given = rig_file(rig, change or (lambda cameras: None)) + files(rig)
    with pytest.raises(SystemExit) as end:
        tool.main(rig_arguments(rig, given, *(text.format(rig=rig) for text in source)))
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert not (rig / 'out/extrinsics.json').exists()


def test_two_cameras_with_the_same_name(tool, rig, monkeypatch, capsys):
    monkeypatch.setattr(tool, 'init_model', lambda *args: SeeingModel([scan(0)]))
    given = rig_file(rig) + files(rig)
    path = rig / 'rig.json'
    path.write_text(path.read_text().replace('"left"', '"front"'))
    with pytest.raises(SystemExit):
        tool.main(rig_arguments(rig, given))
    assert "'front' stands there twice" in capsys.readouterr().err


def test_a_folder_that_lacks_an_image(tool, rig, monkeypatch, capsys):
    monkeypatch.setattr(tool, 'init_model', lambda *args: SeeingModel([scan(0)]))
    folder = frames_folder(rig)
    (folder / 'left/1.png').unlink()
    with pytest.raises(SystemExit):
        tool.main(rig_arguments(rig, rig_file(rig) + ['--frames', folder]))
    assert 'left has no image of the frame 1' in capsys.readouterr().err
