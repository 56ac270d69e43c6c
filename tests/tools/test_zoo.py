"""tools/rebuild.py and tools/quickstart.py: what they run, and that it runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nclr_mm.apis import init_model
from nclr_mm.calibration import pose_distance

SMALL = 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py'
SECOND = 'configs/nclr/nclr_second-small_spconv_lite0_1xb1-2500i_sim-kitti.py'


@pytest.fixture
def rebuild(load_tool, tmp_path, repo, monkeypatch):
    """The tool in a folder without data and runs."""
    tool = load_tool('rebuild')
    (tmp_path / 'configs').symlink_to(repo / 'configs')
    monkeypatch.setattr(tool, 'ROOT', tmp_path)
    monkeypatch.chdir(tmp_path)
    return tool


@pytest.mark.parametrize(
    ('config', 'layout', 'last'),
    [(SMALL, 'semantickitti', 'iter_8000.pth'), (SECOND, 'kitti', 'iter_2500.pth')],
)
def test_what_is_done_is_not_done_again(rebuild, tmp_path, config, layout, last):
    args = rebuild.parse_args([config, '--seed', '3'])
    simulate, infos, train, publish = rebuild.commands(args)
    assert simulate[1] == 'simulation' and simulate[simulate.index('--layout') + 1] == layout
    assert infos == ['tools/create_data.py', layout, '--root-path', f'data/streets/{layout}']
    name = Path(config).stem
    # Seeds do not go on from each other.
    folder = f'work_dirs/{name}-seed3'
    assert train[:5] == ['tools/train.py', config, '--work-dir', folder, '--resume']
    assert 'randomness.seed=3' in train
    assert publish[1:] == [f'{folder}/{last}', f'{folder}/{name}.pth']

    root = tmp_path / 'data/streets' / layout
    root.mkdir(parents=True)
    streets = dict(layout=layout, seed=1, frames=480, scenes=240)
    (root / 'simulation.json').write_text(json.dumps(streets))
    assert rebuild.commands(args) == [infos, train, publish]
    (root / f'{layout}_infos_train.pkl').touch()
    assert rebuild.commands(args) == [train, publish]
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / last).touch()
    assert rebuild.commands(args) == [publish]

    (root / 'simulation.json').write_text(json.dumps(dict(streets, frames=40)))
    with pytest.raises(ValueError, match='holds other streets: frames is 40, expected 480'):
        rebuild.commands(args)


def test_models_of_other_data_are_refused(rebuild, capsys):
    official = 'configs/nclr/nclr_minkunet34_w32_spconv_r50-dino_1xb10-50e_nus.py'
    assert rebuild.main([official]) == 2
    assert 'data/nuscenes, not on simulated streets' in capsys.readouterr().err
    assert rebuild.main(['nothing.py']) == 2
    # By the name that an installed package has for it, too.
    assert rebuild.main([official.replace('configs/', 'nclr_mm::')]) == 2
    assert 'data/nuscenes, not on simulated streets' in capsys.readouterr().err


def test_a_failing_step_ends_it(rebuild, capsys):
    # There are no tools in this folder.
    assert rebuild.main([SMALL]) == 1
    assert 'rebuild: failed' in capsys.readouterr().err


def test_the_shipped_weights_calibrate_a_street_that_they_have_not_seen(load_tool, tmp_path):
    assert load_tool('quickstart').main(['-o', str(tmp_path)]) == 0
    (found,) = json.loads((tmp_path / 'extrinsics.json').read_text())['cameras'].values()
    assert found['verdict'] == 'ok'
    # 0.88 deg and 0.25 m when they were published.
    truth = np.array(json.loads((tmp_path / 'truth.json').read_text())['image_2'])
    rotation, translation = pose_distance(np.array(found['lidar2cam']), truth)
    assert rotation < 2 and translation < 0.6


@pytest.mark.slow
def test_quickstart(load_tool, repo, tmp_path, monkeypatch):
    tool = load_tool('quickstart')
    torch.manual_seed(7)
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=init_model(repo / SMALL).state_dict()), weights)
    monkeypatch.setattr(tool, 'shipped_weights', lambda: weights)
    # An untrained network finds no pose; the street is simulated and looked at all the same.
    assert tool.main(['-o', str(tmp_path / 'out'), '--frames', '1']) == 4
    found = json.loads((tmp_path / 'out/extrinsics.json').read_text())
    assert found['cameras']['image_2']['verdict'] == 'failed'
    assert (tmp_path / 'out/overlay_image_2.jpg').stat().st_size > 10000


def test_quickstart_without_weights(load_tool, tmp_path, monkeypatch, capsys):
    tool = load_tool('quickstart')
    assert tool.main(['-o', str(tmp_path / 'out'), '--frames', '0']) == 2
    assert '--frames must be at least 1' in capsys.readouterr().err

    def without_ray_caster(*args):
        raise ModuleNotFoundError(name='embreex')

    with monkeypatch.context() as patch:
        patch.setattr(tool, 'simulate', without_ray_caster)
        assert tool.main(['-o', str(tmp_path / 'out')]) == 2
    assert 'embreex is not installed; mend it with: pip install' in capsys.readouterr().err
    monkeypatch.setattr(tool, 'ROOT', tmp_path)
    assert tool.main(['-o', str(tmp_path / 'out')]) == 2
    assert 'tools/rebuild.py' in capsys.readouterr().err
