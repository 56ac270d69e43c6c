"""Fine-tuning as a user runs it: the commands of docs/segmentation.md on small simulated drives."""

import fcntl
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import save_checkpoint

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.datasets import converters
from nclr_mm.simulation.generate import generate
from tests.programs import run_program

LEAF = 'minkunet-small_spconv_1xb2-1000i_sim-streets.py'
PRETRAINING = 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py'
FEW_VOXELS = 'model.data_preprocessor.max_voxels=3000'
NUSCENES = 'train_dataloader.dataset.ann_file=nuscenes_infos_train.pkl'


@pytest.fixture(scope='module')
def drives(tmp_path_factory):
    """Two streets of two frames in each layout, and their info files."""
    out = tmp_path_factory.mktemp('drives')
    roots = {}
    for layout in ('nuscenes', 'semantickitti', 'semanticposs'):
        roots[layout] = generate(out, 4, 5, layout, scenes=2, progress=False)
        getattr(converters, f'create_{layout}_infos')(roots[layout])
    return roots


@pytest.fixture(scope='module')
def pretrained(repo, tmp_path_factory):
    """A checkpoint of the pretraining model, as the runner would save it."""
    init_default_scope('mmdet3d')
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp('pretrained') / 'iter_1.pth'
    model = MODELS.build(Config.fromfile(repo / PRETRAINING).model)
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(path))
    return path


def command(repo, *arguments, fails=False):
    done = run_program(*arguments, cwd=repo)
    text = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, text[-4000:]
    return text


def on(root, *more):
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    return [
        *(f'{loader}.dataset.data_root={root}/' for loader in loaders),
        *(f'{loader}.num_workers=0' for loader in loaders),
        *(f'{loader}.persistent_workers=False' for loader in loaders),
        *more,
    ]


def short(root, iterations=2):
    cut = f'train_cfg.max_iters={iterations}', f'train_cfg.val_interval={iterations}'
    return on(root, *cut, 'default_hooks.logger.interval=1')


@pytest.mark.slow
def test_compare_then_augment_and_submit(repo, drives, pretrained, tmp_path):
    root = drives['semantickitti']
    compare = (
        *('tools/compare.py', f'configs/semseg/{LEAF}', '--start', f'nclr={pretrained}'),
        *('--fractions', '0.5', '1', '--seeds', '0', '--jobs', '2', '--work-dir', tmp_path),
        '--cfg-options',
        *short(root),
    )
    command(repo, *compare)
    results = json.loads((tmp_path / 'results.json').read_text())
    assert [(r['start'], r['fraction']) for r in results] == [
        *(('random', 0.5), ('nclr', 0.5), ('random', 1.0), ('nclr', 1.0))
    ]
    table = (tmp_path / 'table.md').read_text().splitlines()
    assert table[2].startswith('| 50 % | ') and table[3].startswith('| 100 % | ')
    assert f'{100 * results[1]["metrics"]["miou"]:.1f}' in table[2]
    assert (tmp_path / 'comparison.png').stat().st_size > 1000
    log = (tmp_path / 'nclr-1-seed0/run.log').read_text()
    assert 'loaded' in log and 'left over in the checkpoint' in log
    log = (tmp_path / 'random-1-seed0/run.log').read_text()
    assert 'No checkpoint was loaded' in log

    # A run that was cut off in its last validation, when its checkpoint was there.
    work_dir = tmp_path / 'nclr-1-seed0'
    record = json.loads((work_dir / 'run.json').read_text())
    value = record.pop('metrics')['miou']
    (work_dir / 'run.json').write_text(json.dumps(record))
    for scalars in work_dir.glob('*/vis_data/scalars.json'):
        scalars.write_text('')
    # Nothing else is done twice.
    assert command(repo, *compare).count('done before') == 3
    record = json.loads((work_dir / 'run.json').read_text())
    assert record['metrics']['miou'] == pytest.approx(value, abs=1e-6) and record['resumed']
    # What another command or other weights gave is not taken for this run's.
    other = command(repo, *compare, 'optim_wrapper.optimizer.lr=0.1', fails=True)
    assert 'holds a run of another command' in other and 'Traceback' not in other
    weights = pretrained.read_bytes()
    pretrained.write_bytes(weights + b'0')
    assert 'config or checkpoint has changed' in command(repo, *compare, fails=True)
    pretrained.write_bytes(weights)

    # Augmentation by turns and flips changes some points and says so in the metric it prints.
    checkpoint = tmp_path / 'nclr-1-seed0/iter_2.pth'
    test = ('tools/test.py', f'configs/semseg/{LEAF}', checkpoint, '--work-dir', tmp_path / 'test')
    plain = command(repo, *test, '--cfg-options', *on(root))
    augmented = command(repo, *test, '--tta', '--cfg-options', *on(root))
    assert 'miou' in plain and 'miou' in augmented
    assert plain.split('miou')[-1] != augmented.split('miou')[-1]

    folder = tmp_path / 'submission'
    command(
        *(repo, *test, '--cfg-options', *on(root)),
        f'test_evaluator.submission.folder={folder}',
        'test_evaluator.submission.form=semantickitti',
    )
    written = sorted(folder.rglob('*.label'))
    assert len(written) == 2
    for path in written:
        sequence = path.parent.parent.name
        truth = root / 'sequences' / sequence / 'labels' / path.name
        assert path.stat().st_size == truth.stat().st_size
        raw = np.fromfile(path, '<u4')
        assert set(raw.tolist()) <= {0, *(10, 11, 15, 18, 20, 30, 31, 32), *range(40, 82)}


@pytest.mark.slow
def test_a_run_that_fails_is_named_without_a_traceback(repo, drives, tmp_path):
    wrong = tmp_path / 'wrong.pth'
    torch.save(dict(state_dict={'backbone.none': torch.zeros(1)}), wrong)
    text = command(
        *(repo, 'tools/compare.py', f'configs/semseg/{LEAF}', '--start', f'wrong={wrong}'),
        *('--fractions', '1', '--seeds', '0', '--work-dir', tmp_path / 'out'),
        *('--cfg-options', *short(drives['semantickitti'])),
        fails=True,
    )
    assert "wrong.pth did not fill 'backbone'" in text and 'compare: the run' in text
    assert not (tmp_path / 'out/results.json').exists()


@pytest.mark.parametrize(
    'config, layout, options',
    [
        (f'configs/panoptic/{LEAF}', 'semantickitti', ['train_cfg.max_iters=1']),
        pytest.param(
            'configs/semseg/minkunet18_w32_spconv_1xb2-30e_semanticposs.py',
            'semanticposs',
            # spconv on CPUs cannot count the cells of two such scans.
            ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=1', FEW_VOXELS],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            'configs/semseg/spvcnn_w32_spconv_1xb8-30e_nus600-100pct.py',
            'nuscenes',
            ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=2', FEW_VOXELS, NUSCENES],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            'configs/panoptic/minkunet34_w32_spconv_1xb8-30e_nus600-100pct.py',
            'nuscenes',
            ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=2', FEW_VOXELS, NUSCENES],
            marks=pytest.mark.slow,
        ),
    ],
    ids=['panoptic', 'poss', 'spvcnn', 'nuscenes panoptic'],
)
def test_each_layout_trains_and_is_evaluated(repo, drives, config, layout, options, tmp_path):
    masks = []
    if layout == 'nuscenes':
        masks = [
            f'{loader}_dataloader.dataset.data_prefix.pts_{kind}_mask={folder}/v1.0-mini'
            for loader in ('train', 'val', 'test')
            for kind, folder in (('semantic', 'lidarseg'), ('panoptic', 'panoptic'))
        ]
    log = command(
        *(repo, 'tools/train.py', config, '--work-dir', tmp_path, '--cfg-options'),
        *on(drives[layout], *masks, *options, 'train_cfg.val_interval=1'),
    )
    assert 'miou' in log
    assert ('pq_things' in log) == ('panoptic' in config)


def test_classes_that_do_not_fit_end_the_run_before_its_first_step(repo, drives, tmp_path):
    text = command(
        *(repo, 'tools/train.py', f'configs/semseg/{LEAF}', '--work-dir', tmp_path),
        *('--cfg-options', *short(drives['semantickitti']), 'model.decode_head.num_classes=16'),
        fails=True,
    )
    assert 'needs model.decode_head.num_classes=19, but the config has 16' in text
    assert 'loss_sem_seg' not in text


def test_an_interrupted_comparison_leaves_nothing_running(repo, drives, tmp_path):
    process = subprocess.Popen(
        [
            *(sys.executable, 'tools/compare.py', f'configs/semseg/{LEAF}'),
            *('--fractions', '0.5', '1', '--seeds', '0', '--work-dir', str(tmp_path)),
            *('--cfg-options', *short(drives['semantickitti'], iterations=1000)),
        ],
        cwd=repo,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout.readline().startswith('$ python tools/train.py')
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and 'ended by SIGTERM' in output
    assert [path.name for path in tmp_path.iterdir()] == ['random-0.5-seed0']
    with open(tmp_path / 'random-0.5-seed0/.lock') as lock:  # its process has ended
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
