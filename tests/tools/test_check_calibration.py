"""tools/check_calibration.py on a rig whose stored calibration is right, wrong, or changes."""

import json
import math
import pickle

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from nclr_mm.calibration import disturbance, pose_distance
from nclr_mm.models.task_modules import exp_motion
from tests.apis import seeing_model
from tests.apis.seeing_model import CAM2IMG, TRUE, SeeingModel, image, scan
from tests.calibration import test_alignment as boards
from tests.poses import assert_near

FRAMES = 6


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('check_calibration')


def numbered(seed):
    """A scene of boards before a wall, with the points' numbers for intensities."""
    points, picture = boards.scene(seed)
    points[:, 3] = np.arange(len(points))
    return points, picture


def write_rig(root, stored, frames, cam2img):
    """Frames of one camera with the given stored poses, and their info file."""
    entries = []
    for i, (pose, (points, picture)) in enumerate(zip(stored, frames, strict=True)):
        points.astype(np.float32).tofile(root / f'{i}.bin')
        cv2.imwrite(str(root / f'{i}.png'), picture)
        camera = dict(
            img_path=f'{i}.png',
            height=picture.shape[0],
            width=picture.shape[1],
            cam2img=cam2img.tolist(),
            lidar2cam=pose.tolist(),
        )
        lidar = dict(lidar_path=f'{i}.bin', num_pts_feats=4)
        entries.append(dict(sample_idx=i, lidar_points=lidar, images=dict(front=camera)))
    infos = dict(metainfo=dict(dataset='rig', info_version='1.1'), data_list=entries)
    (root / 'infos.pkl').write_bytes(pickle.dumps(infos))


def run(tool, tmp_path, monkeypatch, stored, *more, frames=None, cam2img=CAM2IMG, **model):
    if frames is None:
        frames = [(scan(i), image(i)) for i in range(len(stored))]
    write_rig(tmp_path, stored, frames, cam2img)
    seeing = SeeingModel([points for points, _ in frames], **model)
    loader = dict(
        dataset=dict(
            type='CalibrationDataset',
            data_root=str(tmp_path),
            ann_file='infos.pkl',
            repeats=3,
            pipeline=seeing.cfg.test_dataloader.dataset.pipeline,
        )
    )
    seeing.cfg = Config(dict(test_dataloader=loader))
    monkeypatch.setattr(tool, 'init_model', lambda *args: seeing)
    given = ['config.py', 'model.pth', '-o', str(tmp_path / 'out'), '--window', '3', *more]
    code = tool.main([*given, '--looks', '1'])
    return code, json.loads((tmp_path / 'out/check.json').read_text())['cameras']['front']


def test_a_bound_that_is_not_known_is_not_stated(tool):
    assert tool.with_bound('0.15', 0.021, 2) == '0.15 (bound 0.02)'
    assert tool.with_bound('0.15', 0.0, 2) == tool.with_bound('0.15', math.inf, 2) == '0.15'


def test_a_right_calibration(tool, tmp_path, monkeypatch, capsys):
    code, found = run(
        tool, tmp_path, monkeypatch, [TRUE[0]] * FRAMES, '--detection-rates', '2', noise=0.5
    )
    assert code == 0 and found['verdict'] == 'ok'
    assert len(found['frames']) == FRAMES  # repeats are not frames of their own
    assert found['overall']['rotation_deg'] < 0.1 and found['overall']['translation_m'] < 0.05
    assert (tmp_path / 'out/check.png').read_bytes().startswith(b'\x89PNG')
    rates = {
        line.split('|')[1].strip(): line.split('|')[2].strip()
        for line in (tmp_path / 'out/detection_rates.txt').read_text().splitlines()
        if line.startswith('| ') and 'added' not in line
    }
    # Tolerances are 1 degree and 0.3 m: what is clearly beyond is noticed, the rest is not.
    assert rates['0 deg, 0 m'] == '0 of 1' and rates['0 deg, 0.1 m'] == '0 of 2'
    assert rates['2 deg, 0 m'] == '2 of 2' and rates['5 deg, 0 m'] == '2 of 2'
    assert '6 of 6 frames' in capsys.readouterr().out


def test_a_wrong_calibration(tool, tmp_path, monkeypatch):
    off = disturbance(3, 0.5, seed=0)
    code, found = run(tool, tmp_path, monkeypatch, [off @ TRUE[0]] * FRAMES)
    assert code == 3 and found['verdict'] == 'off'
    assert found['overall']['rotation_deg'] == pytest.approx(3, abs=0.05)
    # Rounded to six places: what was added is taken out.
    np.testing.assert_allclose(np.array(found['overall']['correction']) @ off, np.eye(4), atol=0.01)


def test_edges_see_what_the_network_lets_pass(tool, tmp_path, monkeypatch, capsys):
    """The stored pose is off by less than the network's tolerances, by more than those of edges."""
    off = disturbance(0.8, 0.15, seed=0)
    rig = dict(frames=[numbered(i) for i in range(4)], cam2img=boards.CAM2IMG, every=50)
    stored = [off @ TRUE[0]] * 4
    code, found = run(tool, tmp_path, monkeypatch, stored, **rig)
    assert code == 0 and found['verdict'] == 'ok' and found['overall']['edge_scores'] is None
    code, found = run(tool, tmp_path, monkeypatch, stored, '--refine', '2', noise=2, **rig)
    assert code == 3 and found['verdict'] == 'off'
    start, end = found['overall']['edge_scores']
    assert end > start > 0
    left = np.array(found['overall']['correction']) @ off
    rotation, translation = pose_distance(left, np.eye(4))
    assert rotation < 0.1 and translation < 0.03
    # Three frames are too few for edges of two.
    run(
        tool,
        tmp_path,
        monkeypatch,
        stored[:3],
        '--refine',
        '2',
        **{**rig, 'frames': rig['frames'][:3]},
    )
    assert 'Edges are aligned where there are 4 frames or more' in capsys.readouterr().out


def test_a_calibration_that_changes(tool, tmp_path, monkeypatch):
    off = disturbance(3, 0, seed=0)
    code, found = run(tool, tmp_path, monkeypatch, [TRUE[0]] * 3 + [off @ TRUE[0]] * 3)
    assert code == 3 and found['verdict'] == 'drifting'
    assert found['windows'][-1]['frames'] == ['3', '5']
    assert len(found['windows']) - 1 in found['drifting_windows']


def test_a_blind_camera(tool, tmp_path, monkeypatch):
    code, found = run(tool, tmp_path, monkeypatch, [TRUE[0]] * 3, blind=[0])
    assert code == 4 and found['verdict'] == 'unknown'
    assert found['overall']['rotation_deg'] is None


def test_wrong_input(tool, tmp_path, monkeypatch, capsys):
    for more, message in (
        (['--looks', '0'], '--looks must be at least 1'),
        (['--tolerance', '0', '1'], '--tolerance must be positive'),
        (['--tolerance', 'nan', '1'], '--tolerance must be positive'),
        ([], 'There is no config config.py'),
    ):
        with pytest.raises(SystemExit) as end:
            tool.main(['config.py', 'model.pth', '-o', str(tmp_path / 'out'), *more])
        assert end.value.code == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_cameras_against_each_other(tool, tmp_path, monkeypatch, capsys):
    """Three cameras of which one is stored 3 degrees off, and the LiDAR 0.1 m."""
    true = np.concatenate([TRUE, seeing_model.pose(-90, [0.3, 0.2, 0.1])[None]])
    off = exp_motion(np.array([0, 0, 0, 0.1, 0, 0]))
    stored = true @ np.linalg.inv(off)
    stored[2] = disturbance(3, 0, 1) @ stored[2]
    names = ('front', 'left', 'right')
    seeing = seeing_model.of_data_set(tmp_path, names, stored, 4, noise=1.0, true=true)
    monkeypatch.setattr(tool, 'init_model', lambda *args: seeing)
    given = ['config.py', 'model.pth', '-o', str(tmp_path / 'out'), '--window', '2']
    assert tool.main([*given, '--looks', '3']) == 3
    rig = json.loads((tmp_path / 'out/check.json').read_text())['rig']
    verdicts = [rig['overall']['cameras'][name]['verdict'] for name in names]
    assert verdicts == ['steady', 'steady', 'moved']
    assert rig['overall']['cameras']['right']['rotation_deg'] == pytest.approx(3, abs=0.3)
    back = np.linalg.inv(disturbance(3, 0, 1))
    assert_near(rig['overall']['cameras']['right']['correction'], back, 0.3, 0.1)
    assert [w['frames'] for w in rig['windows']] == [[str(i), str(i + 1)] for i in range(3)]
    assert all(w['cameras']['right']['verdict'] == 'moved' for w in rig['windows'])
    printed = capsys.readouterr().out
    assert 'moved in 3 of 3' in printed and 'LiDAR against all cameras' in printed
