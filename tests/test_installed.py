"""The package as another project uses it: installed by pip, not editable, with its configs."""

import os
import subprocess
import sys

import pytest

from nclr_mm.datasets import converters
from tests.datasets.layouts import make_semantickitti
from tests.doc_blocks import blocks


@pytest.fixture(scope='module')
def installed(repo, tmp_path_factory):
    """A folder with the installed package, and the environment in which it comes first."""
    folder = tmp_path_factory.mktemp('installed')
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '-q']
    build = ['wheel', '--no-deps', '--no-build-isolation', '-w', str(folder / 'wheel'), str(repo)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = (folder / 'wheel').glob('*.whl')
    target = folder / 'site'
    subprocess.run([*pip, 'install', '--no-deps', '--target', target, str(wheel)], check=True)
    return {**os.environ, 'PYTHONPATH': str(target), 'OMP_NUM_THREADS': '1'}, target


def run(installed, folder, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=installed[0],
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_project_of_its_own_trains_from_three_lines(installed, tmp_path):
    root = make_semantickitti(tmp_path / 'data', ('00', '08'), frames=2)
    converters.create_semantickitti_infos(root)
    (lines,) = [b.text for b in blocks('docs/install.md') if b.language == 'python']
    assert 'data/mine/' in lines and len(lines.splitlines()) == 3
    (tmp_path / 'mine.py').write_text(lines.replace('data/mine/', f'{root}/'))
    options = ['train_cfg.max_iters=1', 'train_cfg.val_interval=1', 'val_dataloader.num_workers=0']
    options += ['val_dataloader.persistent_workers=False', 'val_dataloader.dataset.repeats=1']
    code, out, errors = run(
        installed, tmp_path, '-m', 'nclr_mm', 'train', 'mine.py', '--cfg-options', *options
    )
    assert code == 0, errors[-3000:]
    assert 'camera/num_poses: 2' in out
    assert (tmp_path / 'work_dirs/mine/iter_1.pth').is_file()


def test_it_is_the_installed_package(installed, tmp_path):
    code, out, _ = run(installed, tmp_path, '-c', 'import nclr_mm; print(nclr_mm.__file__)')
    assert code == 0 and out.strip().startswith(str(installed[1]))


def test_every_config_and_tool_travels(installed, repo):
    for kind in ('configs', 'tools'):
        ours = {p.relative_to(repo / kind) for p in (repo / kind).rglob('*.py')}
        folder = installed[1] / 'nclr_mm/.mim' / kind
        assert {p.relative_to(folder) for p in folder.rglob('*.py')} == ours
        assert not folder.is_symlink()


def test_tools_are_named(installed, tmp_path):
    code, _, errors = run(installed, tmp_path, '-m', 'nclr_mm', 'trian')
    assert code == 2 and "there is no tool 'trian'" in errors
    assert 'calibrate, check_calibration' in errors


def test_a_config_that_is_not_there(installed, tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = ['nclr_mm::nclr/gone.py']")
    code, _, errors = run(installed, tmp_path, '-m', 'nclr_mm', 'train', 'mine.py')
    assert code == 2
    assert 'inherits from nclr_mm::nclr/gone.py' in errors and errors.count('\n') == 1
