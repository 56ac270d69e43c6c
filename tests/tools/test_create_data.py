"""The command line of tools/create_data.py."""

import pickle
import subprocess
import sys

import pytest

from tests.datasets.layouts import make_kitti, make_nuscenes, make_semantickitti


@pytest.fixture(scope='module')
def create_data(load_tool):
    return load_tool('create_data').main


def count(path) -> int:
    with open(path, 'rb') as file:
        return len(pickle.load(file)['data_list'])


def test_nuscenes(create_data, tmp_path, capsys):
    root = make_nuscenes(tmp_path / 'nuscenes')
    assert create_data(['nuscenes', '--root-path', str(root), '--workers', '2', '--check']) == 0
    assert count(root / 'nuscenes_infos_train.pkl') == 2
    assert 'val: none of its 2 scenes' in capsys.readouterr().out
    assert not (root / 'nuscenes_infos_val.pkl').exists()


def test_nuscenes_version(create_data, tmp_path, capsys):
    root = make_nuscenes(tmp_path / 'nuscenes')
    (root / 'v1.0-trainval').mkdir()
    arguments = ['nuscenes', '--root-path', str(root)]
    assert create_data(arguments) == 1
    message = f'error: {root} holds v1.0-mini, v1.0-trainval: choose one with --version.\n'
    assert capsys.readouterr().err.endswith(message)
    assert create_data([*arguments, '--version', 'v1.0-mini']) == 0


def test_semantickitti_splits(create_data, tmp_path):
    root = make_semantickitti(tmp_path / 'semantickitti')
    arguments = ['semantickitti', '--root-path', str(root), '--out-dir', str(tmp_path / 'out')]
    arguments += ['--split', 'train=00:0-2', '--split', 'val=00:3-3', '--extra-tag', 'drive']
    assert create_data(arguments) == 0
    assert count(tmp_path / 'out/drive_infos_train.pkl') == 3
    assert count(tmp_path / 'out/drive_infos_val.pkl') == 1


def test_splits_of_one_name_are_joined(create_data, tmp_path):
    root = make_semantickitti(tmp_path / 'semantickitti', sequences=('00', '01'))
    arguments = ['semantickitti', '--root-path', str(root), '--split', 'train=00:1-3']
    assert create_data([*arguments, '--split', 'train=01']) == 0
    with open(root / 'semantickitti_infos_train.pkl', 'rb') as file:
        samples = [info['sample_idx'] for info in pickle.load(file)['data_list']]
    expected = [f'00_{i:06d}' for i in range(1, 4)] + [f'01_{i:06d}' for i in range(4)]
    assert samples == expected


def test_kitti(create_data, tmp_path):
    root = make_kitti(tmp_path / 'kitti')
    assert create_data(['kitti', '--root-path', str(root), '--check']) == 0
    assert count(root / 'kitti_infos_train.pkl') == 1


@pytest.mark.parametrize('command', ['nuscenes', 'semantickitti', 'kitti'])
def test_a_root_that_is_not_there_is_one_sentence(command, create_data, tmp_path, capsys):
    assert create_data([command, '--root-path', str(tmp_path / 'nowhere')]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f'error: {tmp_path / "nowhere"} is missing')
    assert error.count('\n') == 1


MAKERS = dict(nuscenes=make_nuscenes, semantickitti=make_semantickitti, kitti=make_kitti)


@pytest.mark.parametrize('command', MAKERS)
def test_no_workers_is_one_sentence(command, create_data, tmp_path, capsys):
    root = MAKERS[command](tmp_path / 'root')
    assert create_data([command, '--root-path', str(root), '--workers', '0']) == 1
    assert capsys.readouterr().err == 'error: --workers must be at least 1, got 0.\n'


@pytest.mark.parametrize('command', MAKERS)
@pytest.mark.parametrize('below', ['', 'further'])
def test_an_output_folder_that_is_a_file_is_noticed_first(
    command, below, create_data, tmp_path, capsys
):
    root = MAKERS[command](tmp_path / 'root')
    for path in root.rglob('*.bin'):  # would be noticed as soon as a scan is read
        path.write_bytes(b'')
    (tmp_path / 'file').touch()
    out = tmp_path / 'file' / below
    assert create_data([command, '--root-path', str(root), '--out-dir', str(out)]) == 1
    message = f'error: The folder {out} cannot be made: {tmp_path / "file"} is a file.\n'
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ('command', 'limit', 'file'),
    [
        ('nuscenes', 500, 'nuscenes_infos_train.pkl'),
        ('semantickitti', 500, 'semantickitti_infos_train.pkl'),
        ('kitti', 500, 'kitti_infos_train.pkl'),
    ],
)
def test_a_full_disk_is_one_sentence(
    command, limit, file, create_data, tmp_path, capsys, limit_files
):
    root = MAKERS[command](tmp_path / 'root')
    before = set(root.rglob('*'))
    limit_files(limit)
    assert create_data([command, '--root-path', str(root), '--workers', '1']) == 1
    expected = f'error: [Errno 27] {root / file} cannot be written: File too large\n'
    assert capsys.readouterr().err == expected
    assert set(root.rglob('*')) == before


def test_a_full_disk_of_a_simulation_is_one_sentence(create_data, tmp_path, capsys, limit_files):
    limit_files(1000)
    assert create_data(['simulation', '--out', str(tmp_path), '--frames', '1']) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f'error: [Errno 27] {tmp_path}/')
    assert error.endswith(' cannot be written: File too large')
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_split_is_one_sentence(create_data, tmp_path, capsys):
    root = make_semantickitti(tmp_path / 'semantickitti')
    assert create_data(['semantickitti', '--root-path', str(root), '--split', 'train']) == 1
    assert "error: A split reads name=sequence[:first-last][,...], got 'train'." in (
        capsys.readouterr().err
    )


def test_the_ray_caster_is_imported_by_the_simulation_alone(create_data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'trimesh', None)  # importing it now fails
    for name in [n for n in sys.modules if n.startswith('nclr_mm.simulation')]:
        monkeypatch.delitem(sys.modules, name)
    root = make_kitti(tmp_path / 'kitti')
    assert create_data(['kitti', '--root-path', str(root)]) == 0
    assert not [name for name in sys.modules if name.startswith('nclr_mm.simulation')]


WITHOUT_MODULE = """
import runpy, sys
sys.modules[sys.argv[1]] = None  # importing it now fails
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.mark.parametrize(
    ('command', 'module', 'extra'),
    [('simulation', 'trimesh', 'sim'), ('nuscenes', 'nuscenes', 'nuscenes')],
)
def test_a_missing_extra_is_named(command, module, extra, repo, tmp_path):
    arguments = ['--out', str(tmp_path / 'out'), '--frames', '1']
    if command == 'nuscenes':
        arguments = ['--root-path', str(make_nuscenes(tmp_path / 'nuscenes'))]
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT_MODULE, module, 'tools/create_data.py', command, *arguments],
        cwd=repo,
        capture_output=True,
        text=True,
    )
    message = f'error: {module} is not installed; mend it with: pip install -e ".[{extra}]"\n'
    assert (done.returncode, done.stderr.splitlines(keepends=True)[-1]) == (1, message)


def test_simulation_options_are_the_simulations_own(create_data, capsys):
    with pytest.raises(SystemExit) as stopped:
        create_data(['simulation', '--help'])
    assert stopped.value.code == 0
    assert '--frames' in capsys.readouterr().out
