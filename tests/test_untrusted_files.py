"""No file from elsewhere runs code, whatever reads it. Oracle: a folder that would be there.

What reads the files is tested in tests/compat/test_mmengine_{checkpoints,files}.py,
tests/datasets/test_checks.py and tests/checkpoint.
"""

import os
import pickle
import re
import runpy
import sys

import cv2
import numpy as np
import pytest
import torch

from nclr_mm.apis import init_model
from nclr_mm.calibration import KeptMatches, read_drive, read_rig
from nclr_mm.datasets import CalibrationDataset
from nclr_mm.datasets.scans import read_scan
from tests.apis.seeing_model import CAM2IMG, image, scan
from tests.crafted import Boom
from tests.programs import run_program
from tests.tools import conftest

SMALL = 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py'


folder, run = conftest.folder, conftest.run  # fixtures


@pytest.fixture
def mark(tmp_path):
    return tmp_path / 'code_was_run'


@pytest.fixture
def checkpoint(tmp_path, mark):
    path = tmp_path / 'crafted.pth'
    torch.save(dict(state_dict={'backbone.conv_input.0.weight': Boom(mark)}), path)
    return path


@pytest.fixture
def infos(tmp_path, mark):
    entry = dict(sample_idx=0, lidar_points=Boom(mark), images={})
    content = dict(metainfo=dict(categories={'Car': 0}), data_list=[entry])
    (tmp_path / 'infos.pkl').write_bytes(pickle.dumps(content))
    return tmp_path / 'infos.pkl'


def test_the_oracle(checkpoint, mark):
    torch.load(checkpoint, weights_only=False)
    assert mark.is_dir()


@pytest.fixture
def error_of(repo, monkeypatch, capsys):
    """Run a tool that ends with an error; returns the message."""

    def start(tool, *arguments):
        monkeypatch.chdir(repo)
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(repo / 'tools' / tool), run_name='__main__')
        assert end.value.code not in (0, None)
        return capsys.readouterr().err + (end.value.code if isinstance(end.value.code, str) else '')

    return start


def sensors(place):
    """Write a scan, an image and intrinsics; arguments of calibrate.py."""
    scan(0).astype(np.float32).tofile(place / 'scan.bin')
    cv2.imwrite(str(place / 'image.png'), image(0))
    (place / 'K.json').write_text(str(CAM2IMG.tolist()))
    files = {'--points': 'scan.bin', '--image': 'image.png', '--intrinsics': 'K.json'}
    return [word for name, file in files.items() for word in (name, place / file)]


def test_init_model(repo, checkpoint, mark):
    with pytest.raises(ValueError, match=r'crafted\.pth .*mkdir'):
        init_model(repo / SMALL, checkpoint)
    assert not mark.exists()


LOADERS = {
    'torch': 'torch.load(path)',
    'mmengine': 'checkpoint.load_from_local(path, "cpu")',
    'mmengine, of a stream': 'checkpoint.load_from_ceph(path, backend="local")',
    'mmengine, from a URL': 'checkpoint.load_from_http("https://example.invalid/crafted.pth")',
    'this package': 'read_checkpoint(path, "state_dict")',
}


@pytest.mark.parametrize('loader', LOADERS)
def test_torch_told_to_trust_checkpoints(loader, checkpoint, mark, tmp_path):
    """Many set this variable for mmdetection's sake. Oracle: torch itself, which obeys it."""
    downloaded = tmp_path / 'hub/checkpoints/crafted.pth'  # where torch.hub keeps it
    downloaded.parent.mkdir(parents=True)
    downloaded.write_bytes(checkpoint.read_bytes())
    script = tmp_path / 'load.py'
    script.write_text(f"""
import torch
from mmengine.runner import checkpoint
import nclr_mm
from nclr_mm.checkpoint import read_checkpoint
path = {str(checkpoint)!r}
{LOADERS[loader]}
""")
    told = dict(TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD='1', TORCH_HOME=str(tmp_path), OMP_NUM_THREADS='1')
    done = run_program(script, env=os.environ | told)
    if loader == 'torch':
        assert mark.is_dir() and done.returncode == 0
    else:
        assert 'mkdir' in done.stderr and done.returncode != 0
        assert not mark.exists()


@pytest.mark.parametrize('tool', ['calibrate.py', 'check_calibration.py', 'visualize.py'])
def test_tools_that_use_a_model(tool, error_of, checkpoint, mark, tmp_path):
    arguments = [SMALL, checkpoint, '-o', tmp_path / 'out']
    if tool == 'calibrate.py':
        arguments += sensors(tmp_path)
    assert 'mkdir' in error_of(tool, *arguments)
    assert not mark.exists()
    assert not list(tmp_path.glob('out/*'))


@pytest.mark.parametrize(
    ('tool', 'before'), [('convert_checkpoint.py', ['nclr-to-openpcdet']), ('publish_model.py', [])]
)
def test_tools_that_rewrite_checkpoints(tool, before, error_of, checkpoint, mark, tmp_path):
    assert 'mkdir' in error_of(tool, *before, checkpoint, tmp_path / 'out.pth')
    assert not mark.exists() and not (tmp_path / 'out.pth').exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    'arguments',
    [
        ('test.py', 'tiny.py', 'crafted.pth'),
        ('train.py', 'tiny.py', '--resume', 'crafted.pth'),
        ('train.py', 'tiny.py', '--cfg-options', 'load_from=crafted.pth'),
    ],
)
def test_runs(arguments, run, checkpoint, mark):
    done = run(*arguments)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert re.search(r'crafted\.pth holds more than tensors .*mkdir', done.stderr)
    assert not mark.exists()


@pytest.mark.parametrize('tool', ['browse_dataset.py', 'check_calibration.py', 'visualize.py'])
def test_info_files(tool, error_of, infos, mark, tmp_path, repo):
    weights = next((repo / 'configs/nclr/weights').glob('*small*.pth'))
    model = [] if tool == 'browse_dataset.py' else [weights]
    options = [f'{split}_dataloader.dataset.ann_file={infos}' for split in ('train', 'val', 'test')]
    error = error_of(tool, SMALL, *model, '-o', tmp_path / 'out', '--cfg-options', *options)
    assert 'infos.pkl' in error and 'mkdir' in error
    assert not mark.exists()


@pytest.mark.parametrize('what', ['--intrinsics', '--initial', '--truth'])
def test_matrices_in_yaml(what, error_of, mark, tmp_path, repo):
    bad = tmp_path / 'crafted.yaml'
    bad.write_text(f'!!python/object/apply:os.mkdir [{mark}]\n')
    weights = next((repo / 'configs/nclr/weights').glob('*small*.pth'))
    arguments = [*sensors(tmp_path), what, bad]  # the last of two intrinsics counts
    error = error_of('calibrate.py', SMALL, weights, *arguments, '-o', tmp_path / 'out')
    assert 'crafted.yaml is not readable JSON or YAML' in error
    assert not mark.exists()


def test_scans_in_npy(tmp_path, mark):
    np.save(tmp_path / 'scan.npy', np.array([Boom(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r'scan\.npy'):
        read_scan(tmp_path / 'scan.npy')
    assert not mark.exists()


def test_the_state_of_a_rig(tmp_path, mark):
    path = tmp_path / 'state.npz'
    np.savez(path, header=np.array([Boom(mark)], dtype=object))
    with pytest.raises(ValueError, match=r'state\.npz is not a state of an earlier calibration'):
        KeptMatches().load(path, {})
    assert not mark.exists()


@pytest.mark.parametrize(
    'read',
    [
        read_rig,
        lambda path: read_drive(path, ['0'], ['front']),
        lambda path: CalibrationDataset(ann_file=str(path)),
    ],
    ids=['rig', 'drive', 'infos'],
)
def test_yaml(read, tmp_path, mark):
    path = tmp_path / 'crafted.yaml'
    path.write_text(f'!!python/object/apply:os.mkdir [{mark}]\n')
    with pytest.raises(ValueError, match=r'crafted\.yaml (is not readable|cannot be read)'):
        read(path)
    assert not mark.exists()
