"""A run is the same, to the bit, however often it is cut and however many workers load."""

import functools
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

import nclr_mm  # noqa: F401 (allows loading the runner's checkpoints)
from nclr_mm.datasets import converters
from nclr_mm.simulation.generate import generate
from tests.kitti_drive import simulate_kitti

ITERS = 4
RUNS = {
    'pretraining': 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py',
    'segmentation': 'configs/semseg/minkunet-small_spconv_1xb2-1000i_sim-streets.py',
    'panoptic': 'configs/panoptic/minkunet-small_spconv_1xb2-1000i_sim-streets.py',
    'SECOND': 'configs/det3d/second-small_1xb1-600i_sim-kitti-3d-3class.py',
    'PV-RCNN': 'configs/det3d/pv-rcnn-small_1xb1-600i_sim-kitti-3d-3class.py',
}
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Streets of two frames: with batches of one or two, an epoch ends within a run.

    Returns a function that gives the options of a task's data.
    """
    out = tmp_path_factory.mktemp('drives')

    @functools.cache
    def options(detection):
        if not detection:
            root = generate(out / 'seg', 4, 5, 'semantickitti', scenes=2, progress=False)
            converters.create_semantickitti_infos(root)
            return [f'{loader}.dataset.data_root={root}/' for loader in LOADERS]
        root = simulate_kitti(out / 'det')
        sampler = 'train_dataloader.dataset.pipeline.2.db_sampler'
        return [
            *(f'{loader}.dataset.data_root={root}/' for loader in LOADERS),
            f'{sampler}.data_root={root}/',
            f'{sampler}.info_path={root}/kitti_dbinfos_train.pkl',
            *(f'{n}_evaluator.ann_file={root}/kitti_infos_val.pkl' for n in ('val', 'test')),
        ]

    return lambda task: options(task in ('SECOND', 'PV-RCNN'))


def train(repo, data, task, work_dir, *more, workers=1, processes=1):
    program = [sys.executable, 'tools/train.py', RUNS[task]]
    if processes > 1:
        program = ['bash', 'tools/dist_train.sh', RUNS[task], str(processes)]
    done = subprocess.run(
        [
            *(*program, '--work-dir', str(work_dir), *more),
            '--cfg-options',
            *data(task),
            f'train_dataloader.num_workers={workers}',
            f'train_dataloader.persistent_workers={workers > 0}',
            f'train_cfg.max_iters={ITERS}',
            'train_cfg.val_interval=2',
            'default_hooks.checkpoint.interval=1',
            'default_hooks.checkpoint.max_keep_ckpts=9',
            'default_hooks.logger.interval=1',
            *(['custom_hooks.0.begin=2'] if task == 'pretraining' else []),
        ],
        cwd=repo,
        env={**os.environ, 'OMP_NUM_THREADS': '2', 'PYTHON': sys.executable, 'PORT': '29617'},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def state(work_dir, iteration=ITERS):
    """Weights, optimiser and schedules of a checkpoint as bytes of each tensor."""
    saved = torch.load(work_dir / f'iter_{iteration}.pth', map_location='cpu')
    found = {}

    def walk(name, value):
        if isinstance(value, torch.Tensor):
            found[name] = value.numpy().tobytes()
        elif isinstance(value, dict):
            for key, part in value.items():
                walk(f'{name}.{key}', part)
        elif isinstance(value, (list, tuple)):
            for key, part in enumerate(value):
                walk(f'{name}.{key}', part)
        else:
            found[name] = repr(value)

    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        walk(part, saved[part])
    assert len(found) > 100
    return found


def scalars(work_dir):
    rows = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        rows += [json.loads(line) for line in path.read_text().splitlines()]
    return rows


def losses(work_dir):
    return {row['step']: row['loss'] for row in scalars(work_dir) if 'loss' in row}


def metrics(work_dir):
    """The last validation; failed poses are infinite or not a number, which equals itself here."""
    row = [row for row in scalars(work_dir) if 'loss' not in row][-1]
    return {name: repr(value) for name, value in row.items() if 'time' not in name}


@pytest.mark.slow
@pytest.mark.parametrize('task', RUNS)
def test_cut_and_resumed_or_with_other_workers_a_run_is_the_same(repo, data, task, tmp_path):
    whole = tmp_path / 'whole'
    train(repo, data, task, whole)
    wanted = state(whole)
    for cut in (1, 3):
        work_dir = tmp_path / f'cut{cut}'
        work_dir.mkdir()
        shutil.copy(whole / f'iter_{cut}.pth', work_dir)
        (work_dir / 'last_checkpoint').write_text(str(work_dir / f'iter_{cut}.pth'))
        train(repo, data, task, work_dir, '--resume')
        assert set(losses(work_dir)) == set(range(cut + 1, ITERS + 1))
        assert state(work_dir) == wanted
    assert state(whole, 3) != wanted
    other = tmp_path / 'workers'
    train(repo, data, task, other, workers=3)
    assert state(other) == wanted


@pytest.mark.slow
def test_two_processes_that_are_cut_and_resumed_end_as_two_left_alone(repo, data, tmp_path):
    if torch.cuda.is_available():
        pytest.skip('this machine has a GPU, on which sums may differ in their last bits')
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    log = train(repo, data, 'pretraining', whole, processes=2)
    assert 'Distributed training: True' in log and 'GPU number: 2' in log
    cut.mkdir()
    shutil.copy(whole / f'iter_{ITERS // 2}.pth', cut)
    (cut / 'last_checkpoint').write_text(str(cut / f'iter_{ITERS // 2}.pth'))
    train(repo, data, 'pretraining', cut, '--resume', processes=2)
    assert state(cut) == state(whole)
    assert state(whole, ITERS // 2) != state(whole)
    assert losses(cut).items() < losses(whole).items()
    assert set(losses(cut)) == set(range(ITERS // 2 + 1, ITERS + 1))
    # Each process validates its part of the samples.
    assert len(metrics(whole)) > 20 and metrics(cut) == metrics(whole)
