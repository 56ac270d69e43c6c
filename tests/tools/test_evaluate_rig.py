"""tools/evaluate_rig.py on a rig whose matches are right but for noise, and its trials alone."""

import json

import cv2
import numpy as np
import pytest
from scipy.stats import chi2

from nclr_mm.calibration import CheckedFrame
from nclr_mm.calibration.rig_trials import (
    Trial,
    coverage,
    detection,
    fit_inflation,
    groups_of,
    try_groups,
)
from nclr_mm.models.task_modules import RigSolver
from tests.apis import seeing_model
from tests.apis.seeing_model import TRUE
from tests.rigs import SIZE, make_matches, make_rig

ALL = np.concatenate([TRUE, seeing_model.pose(-90, [0.3, 0.2, 0.1])[None]])


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('evaluate_rig')


def run(tool, tmp_path, monkeypatch, *more):
    seeing = seeing_model.of_data_set(
        tmp_path, ('front', 'left', 'right'), ALL, 4, noise=2.0, true=ALL, every=5
    )
    monkeypatch.setattr(tool, 'init_model', lambda *args: seeing)
    out = tmp_path / 'out'
    code = tool.main(['config.py', 'model.pth', '-o', str(out), '--looks', '1', *more])
    return code, json.loads((out / 'rig.json').read_text()), out


def test_a_rig_against_the_truth(tool, tmp_path, monkeypatch):
    given = ['--numbers', '1', '2', '4', '9', '--moved', '2', '9', '--trials', '2']
    code, report, out = run(tool, tmp_path, monkeypatch, *given)
    assert code == 0
    assert [report['rig'][n]['number'] for n in ('1', '2', '4')] == [4, 2, 1]
    assert '9' not in report['rig']  # there are only four frames
    assert report['single']['number'] == 12
    single, rig = report['single'], report['rig']['1']
    assert rig['rotation_mean'] < single['rotation_mean']
    assert rig['translation_mean'] < single['translation_mean']
    assert rig['recall']['1 deg, 0.2 m'] == 1 and rig['failed'] == 0
    moved = {(r['rotation_deg'], r['translation_m']): r for r in report['moved']}
    assert len(report['moved']) == 8 and all(r['frames'] == 2 for r in report['moved'])
    assert moved[2, 0]['found'] == 2 and moved[0, 0]['found'] == 0
    assert moved[0, 0]['others_blamed'] == 0
    text = (out / 'README.md').read_text()
    assert '| rig, 4 frames | 1 |' in text and '| 2 | 2 deg, 0 m | 2 of 2 | 0 of 2 |' in text
    assert cv2.imread(str(out / 'frames.png')) is not None


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--looks', '0'], '--looks must be at least 1'),
        (['--numbers', '0'], '--numbers must be at least 1 each'),
        (['--numbers', '7'], 'No scene has 7 frames'),
        (['--split', 'val'], 'has no val_dataloader'),
    ],
)
def test_wrong_input_ends_in_a_sentence(tool, tmp_path, monkeypatch, capsys, more, message):
    with pytest.raises(SystemExit) as end:
        run(tool, tmp_path, monkeypatch, *more)
    assert end.value.code == 2 and message in capsys.readouterr().err


def drive(frames, cameras=3, scenes=None):
    """A drive whose stored poses are right; matches with one pixel of noise."""
    cam2img, rig2cam = make_rig(cameras)
    rng = np.random.default_rng(0)
    result = {str(i): [] for i in range(cameras)}
    for frame in range(frames):
        found = make_matches(cam2img, rig2cam, rng, 100, outliers=0.2)
        for i in range(cameras):
            mine = found.view == i
            result[str(i)].append(
                CheckedFrame(
                    str(frame),
                    [(found.points[mine], found.pixels[mine])],
                    [None],
                    rig2cam[i],
                    cam2img[i],
                    scene=None if scenes is None else scenes[frame],
                    image_size=SIZE,
                )
            )
    return result


def test_groups_do_not_span_scenes():
    groups = groups_of(drive(7, scenes='aaabbbb'), 2)
    assert [list(group) for group in groups] == [[0, 1], [3, 4], [5, 6]]


def test_trials_know_their_errors():
    solver = RigSolver(min_iterations=100)
    for trial in try_groups(drive(4), solver, 2):
        assert 0 < trial.rotation < 0.2 and 0 < trial.translation < 0.1
        assert 0 < trial.distance < 60
    assert len(try_groups(drive(4), solver, 2, each=True)) == 6


def test_detection():
    solver = RigSolver(min_iterations=100)
    assert detection(drive(4, 6), solver, 2, 2.0, 0.0) == (2, 0, 2)
    assert detection(drive(4, 6), solver, 2, 0.0, 0.0) == (0, 0, 2)
    assert detection(drive(4, 6), solver, 1, 2.0, 0.0, limit=3)[2] == 3


@pytest.mark.slow
def test_coverage_and_its_factor():
    rng = np.random.default_rng(0)
    trials = [Trial(distance=d) for d in 3 * chi2.rvs(6, size=4000, random_state=rng)]
    assert fit_inflation(trials) == pytest.approx(3, rel=0.05)
    np.testing.assert_allclose(coverage(trials, 3.0), [0.5, 0.9, 0.99], atol=0.02)
    assert coverage(trials)[1] < 0.6
    small = [Trial(distance=d) for d in chi2.rvs(6, size=100, random_state=rng) / 5]
    assert fit_inflation(small) == 1
    with pytest.raises(ValueError, match='No trial'):
        fit_inflation([Trial()])
