"""A test needs its own data alone; a training needs none of the test's.

Oracle: the folders of the other data do not exist.
"""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from nclr_mm.datasets import converters
from nclr_mm.simulation.generate import generate
from tests.kitti_drive import simulate_kitti
from tests.programs import run_program

POSES, PRECISION = 'camera/rot_err_median', '3D_AP40_moderate'
FEW_VOXELS = 'model.calib_head.test_cfg.num_voxels=64'


def family(name, layout, metric, *more, slow=False):
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(name, layout, metric, more, marks=marks, id=name.rpartition('_1xb')[0])


FAMILIES = [
    family(
        *('nclr/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets', 'semantickitti', POSES),
        *('--cfg-options', FEW_VOXELS),
    ),
    family(
        *('nclr/nclr_second-small_spconv_lite0_1xb1-2500i_sim-kitti', 'kitti', POSES),
        *('--cfg-options', FEW_VOXELS),
        slow=True,
    ),
    family(
        *('nclr/nclr_spvcnn-small_spconv_lite0_1xb1-3000i_sim-streets', 'semantickitti', POSES),
        *('--cfg-options', FEW_VOXELS),
        slow=True,
    ),
    family(
        *('nclr/nclr_minkunet-small_spconv_lite0_1xb1-2000i_sim-nus', 'nuscenes', POSES),
        *('--cfg-options', FEW_VOXELS),
        slow=True,
    ),
    family('semseg/minkunet-small_spconv_1xb2-1000i_sim-streets', 'semantickitti', 'miou', '--tta'),
    family(
        'panoptic/minkunet-small_spconv_1xb2-1000i_sim-streets', 'semantickitti', 'pq', slow=True
    ),
    family('det3d/second-small_1xb1-600i_sim-kitti-3d-3class', 'kitti', PRECISION),
    family('det3d/pv-rcnn-small_1xb1-600i_sim-kitti-3d-3class', 'kitti', PRECISION, slow=True),
]


@pytest.fixture(scope='module')
def drives(tmp_path_factory):
    """A drive in each layout, with its info files; made when it is asked for."""
    out, roots = tmp_path_factory.mktemp('drives'), {}

    def root(layout):
        if layout not in roots and layout == 'kitti':
            roots[layout] = simulate_kitti(out)
        elif layout not in roots:
            roots[layout] = generate(out, 4, 5, layout, scenes=2, progress=False)
            getattr(converters, f'create_{layout}_infos')(roots[layout])
        return roots[layout]

    return root


def elsewhere(config, root, kept='test'):
    """Options by which the loader of that name reads from a root, and the others from nowhere."""
    options = []
    for loader in ('train', 'val', 'test'):
        key, dataset = f'{loader}_dataloader.dataset', config[f'{loader}_dataloader'].dataset
        while 'dataset' in dataset:
            key, dataset = f'{key}.dataset', dataset.dataset
        options += [
            f'{key}.data_root={root if loader == kept else "/nowhere"}/',
            f'{loader}_dataloader.num_workers=0',
            f'{loader}_dataloader.persistent_workers=False',
        ]
        if infos := config.get(f'{loader}_evaluator', {}).get('ann_file'):
            folder = root if loader == kept else '/nowhere'
            options.append(f'{loader}_evaluator.ann_file={folder}/{Path(infos).name}')
    return options


@pytest.mark.parametrize(('name', 'layout', 'metric', 'more'), FAMILIES)
def test_a_test_needs_its_own_data_alone(repo, drives, tmp_path, name, layout, metric, more):
    path = repo / f'configs/{name}.py'
    options = elsewhere(Config.fromfile(path), drives(layout))
    given = (path, '--work-dir', tmp_path, *more, '--cfg-options', *options)
    done = run_program('tools/test.py', *given, cwd=repo)
    assert done.returncode == 0, done.stderr[-3000:]
    assert metric in done.stdout


@pytest.mark.slow
def test_centerpoint(repo, real_data, tmp_path):
    """Scored over the one frame, which is not of the official split."""
    root = real_data / 'nuscenes'
    infos = converters.create_nuscenes_infos(root, tmp_path)['train']
    path = repo / 'configs/det3d/centerpoint_second_8xb4-20e_nus-3d.py'
    options = [
        *elsewhere(Config.fromfile(path), root),
        f'test_dataloader.dataset.ann_file={infos}',
        f'test_evaluator.ann_file={infos}',
        f'test_evaluator.data_root={root}',
    ]
    given = (path, '--work-dir', tmp_path / 'out', '--cfg-options', *options)
    done = run_program('tools/test.py', *given, cwd=repo)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r'/NDS: 0\.\d+', done.stdout)
    assert 'The score is over 1 frames, which are not the official split mini_val.' in done.stdout


NO_DATA = """
val_dataloader, val_cfg, val_evaluator = test_dataloader, dict(), test_evaluator
nowhere = dict(type='CalibrationDataset', data_root='nowhere', ann_file='infos.pkl')
{}_dataloader = dict({}_dataloader, dataset=nowhere)
"""


def test_a_training_needs_no_test_data_nor_a_test_of_what_would_be_resumed(run, folder):
    text = (folder / 'tiny.py').read_text()
    (folder / 'tiny.py').write_text(text + NO_DATA.format('test', 'test'))
    done = run('train.py', 'tiny.py', '--work-dir', 'out')
    assert done.returncode == 0, done.stderr[-3000:]

    loads = "resume, load_from = True, 'out/epoch_1.pth'\n"
    (folder / 'tiny.py').write_text(text + NO_DATA.format('train', 'train') + loads)
    done = run('test.py', 'tiny.py', 'out/epoch_2.pth', '--work-dir', 'tested')
    assert done.returncode == 0 and 'value: ' in done.stdout, done.stderr[-3000:]
