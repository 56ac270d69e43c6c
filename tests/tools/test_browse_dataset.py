"""tools/browse_dataset.py draws sheets that show the data."""

import cv2
import numpy as np
import pytest

from nclr_mm.datasets import converters
from tests.datasets.layouts import make_nuscenes

CONFIG = """
train_dataloader = dict(
    dataset=dict(
        type='NuScenesCalibrationDataset',
        data_root={root!r},
        ann_file='nuscenes_infos_train.pkl',
        cameras=['CAM_FRONT', 'CAM_BACK', 'CAM_BACK_LEFT'],
        pipeline=[
            dict(type='LoadLidarPoints', load_dim=5, use_dim=4),
            dict(type='LoadCalibratedImages'),
            dict(type='ResizeImages', scale=(48, 32)),
            dict(type='RandomFlipImages', prob=1.0),
            dict(type='RigidPerturbation'),
            dict(type='Pack3DDetInputs', keys=['points', 'img']),
        ],
    )
)
"""


@pytest.fixture(scope='module')
def browse(load_tool):
    return load_tool('browse_dataset')


@pytest.fixture
def config(tmp_path):
    root = make_nuscenes(tmp_path / 'nuscenes')
    converters.create_nuscenes_infos(root)
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(root=str(root)))
    return path


def test_sheets_show_three_panels_a_camera(browse, config, tmp_path, capsys):
    assert browse.main([str(config), '-o', str(tmp_path / 'out'), '-n', '9']) == 0
    sheets = sorted((tmp_path / 'out').iterdir())
    assert [path.name for path in sheets] == ['0000_0.jpg', '0001_1.jpg']  # no more samples
    assert capsys.readouterr().out.split() == [str(path) for path in sheets]
    image = cv2.imread(str(sheets[0]))
    height, width = image.shape[:2]
    assert width > 3 * browse.PANEL_WIDTH
    assert height > 3 * browse.PANEL_WIDTH * 32 // 48
    assert image.std() > 20  # noise images: a blank sheet would have far less


def test_cells_that_targets_do_not_mark_are_dark(browse):
    image = np.full((32, 48, 3), 200, np.uint8)
    results = dict(img=[image], cam2img=np.eye(3)[None])
    cells = np.zeros((8, 12), bool)
    cells[2, 3] = True
    lit = browse.lit_panel(results, 0, cells)
    scale = browse.PANEL_WIDTH / 48
    rows, columns = np.nonzero(lit[..., 0] == 200)
    assert (rows.min(), columns.min()) == pytest.approx((8 * scale, 12 * scale), abs=1)
    assert (rows.max(), columns.max()) == pytest.approx((12 * scale, 16 * scale), abs=1.5)
    assert lit[0, 0, 0] == 50


def test_errors_are_one_sentence(browse, config, tmp_path, capsys):
    (tmp_path / 'nuscenes/nuscenes_infos_train.pkl').unlink()
    assert browse.main([str(config), '-o', str(tmp_path / 'out')]) == 1
    assert 'nuscenes_infos_train.pkl is missing; it is made by' in capsys.readouterr().err


def test_wrong_arguments_are_one_sentence(browse, config, tmp_path, capsys):
    (tmp_path / 'file').touch()
    (tmp_path / 'broken.py').write_text('train_dataloader = dict(\n')
    out = ['-o', str(tmp_path / 'out')]
    for arguments, message in (
        ([str(config), '-o', str(tmp_path / 'file')], f"File exists: '{tmp_path / 'file'}'"),
        ([str(tmp_path / 'nowhere.py'), *out], 'nowhere.py'),
        ([str(tmp_path / 'broken.py'), *out], 'broken.py cannot be read: '),
        ([str(config), *out, '--split', 'val'], 'config.py has no val_dataloader.dataset.'),
    ):
        assert browse.main(arguments) == 1
        error = capsys.readouterr().err
        assert error.startswith('error: ')
        assert message in error
        assert error.count('\n') == 1


def test_a_truncated_info_file_is_one_sentence(browse, config, tmp_path, capsys):
    path = tmp_path / 'nuscenes/nuscenes_infos_train.pkl'
    path.write_bytes(path.read_bytes()[:-100])
    assert browse.main([str(config), '-o', str(tmp_path / 'out')]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f'error: The info file {path} cannot be read')
    assert error.count('\n') == 1
