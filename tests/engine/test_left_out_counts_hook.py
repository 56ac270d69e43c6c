"""What training leaves out of its data is in its log. Oracle: what the test has spoilt."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample, PointData
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nclr_mm.datasets import converters
from nclr_mm.engine.hooks import LeftOutCountsHook
from tests.conftest import REPO
from tests.datasets.layouts import make_semantickitti
from tests.loaders import train
from tests.models.test_nclr import small_model
from tests.processes import run_in_processes
from tests.test_bad_input import PIPELINE, Rig

SCALARS = {
    'num_broken_samples',
    'num_unmeasured_points',
    'num_empty_samples',
    'num_unlabelled_samples',
}
FAR = [500.0, 0, 0, 0.5]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet3d')


def rows(work_dir):
    """The scalars of each line of the log."""
    (newest,) = work_dir.glob('*/vis_data/scalars.json')
    lines = map(json.loads, newest.read_text().splitlines())
    return {line['step']: line for line in lines if 'loss' in line}


def counts(line):
    return {name: value for name, value in line.items() if name in SCALARS}


def warnings(work_dir):
    (log,) = work_dir.glob('*/*.log')
    return [line for line in log.read_text().splitlines() if 'of no use to training' in line]


def pretrain(
    folder, work_dir, iterations, model=None, interval=1, dataset=None, workers=2, **options
):
    """Train on both samples of a rig in each step, which processes of their own load."""
    runtime = Config.fromfile(REPO / 'configs/_base_/iter_runtime.py')
    runtime.default_hooks.logger.interval = interval
    runtime.default_hooks.checkpoint.interval = 1
    name = '_'.join((*work_dir.parts[-2:], str(iterations)))
    runtime.visualizer.name = name  # mmengine keeps one for each name
    torch.manual_seed(0)
    data = dict(
        type='CalibrationDataset', ann_file='infos.json', data_root=f'{folder}', pipeline=PIPELINE
    )
    runner = Runner(
        model or small_model(),
        str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=workers,
            persistent_workers=workers > 0,
            dataset={**data, **(dataset or {})},
            sampler=dict(type='SeededInfiniteSampler', shuffle=True),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=iterations),
        optim_wrapper=dict(dict(optimizer=dict(type='AdamW', lr=1e-3)), **options),
        **{key: runtime[key] for key in ('default_hooks', 'visualizer', 'log_processor')},
        randomness=dict(seed=0),
        default_scope='mmdet3d',
        resume=work_dir.exists(),
        experiment_name=name,
    )
    train(runner)


def spoilt(folder, points=True):
    """A rig whose first scan lacks five measurements, and its second all points in range."""
    folder.mkdir()
    rig = Rig()
    rig.scans[0][[3, 5, 8, 9, 11], [0, 1, 2, 0, 1]] = [np.nan, np.inf, -np.inf, np.nan, np.nan]
    if points:
        rig.scans[1] = np.tile(FAR, (50, 1))
    rig.write(folder)
    return folder


def test_pretraining(tmp_path):
    """Accumulated gradients change nothing: a batch counts once."""
    work_dir = tmp_path / 'work'
    pretrain(spoilt(tmp_path / 'rig'), work_dir, 4, interval=2, accumulative_counts=2)
    lines = rows(work_dir)
    assert set(lines) == {1, 2, 4}  # the third is between two lines, and counted all the same
    for step, line in lines.items():
        assert counts(line) == dict(num_unmeasured_points=5 * step, num_empty_samples=step)
    (warning,) = warnings(work_dir)
    assert 'scan1.bin' in warning and 'scan0.bin' not in warning and 'WARNING' in warning
    (log,) = work_dir.glob('*/*.log')
    assert 'num_unmeasured_points: 20  num_empty_samples: 4' in log.read_text()
    board = EventAccumulator(str(next(work_dir.glob('*/vis_data'))))
    board.Reload()
    found = [(event.step, event.value) for event in board.Scalars('num_empty_samples')]
    assert found == [(1, 1), (2, 2), (4, 4)]


def test_pretraining_of_voxelnet(tmp_path):
    cfg = Config.fromfile(REPO / 'configs/_base_/models/nclr_second-small_lite0.py').model
    cfg.calib_head.num_voxels = 64
    pretrain(spoilt(tmp_path / 'rig'), tmp_path / 'work', 1, model=MODELS.build(cfg))
    assert counts(rows(tmp_path / 'work')[1]) == dict(num_unmeasured_points=5, num_empty_samples=1)


def test_a_resumed_run_goes_on_counting(tmp_path):
    rig = spoilt(tmp_path / 'rig')
    pretrain(rig, tmp_path / 'work', 1)
    first = next((tmp_path / 'work').glob('*/vis_data'))
    first.rename(tmp_path / 'first')
    pretrain(rig, tmp_path / 'work', 3)
    lines = rows(tmp_path / 'work')
    assert [lines[step]['num_unmeasured_points'] for step in (2, 3)] == [10, 15]


def test_samples_that_cannot_be_loaded(tmp_path):
    folder = spoilt(tmp_path / 'rig', points=False)
    (folder / 'back1.png').unlink()
    for workers in (0, 2):
        work_dir = tmp_path / f'workers{workers}'
        pretrain(folder, work_dir, 3, dataset=dict(max_broken=99), workers=workers)
    (log,) = (tmp_path / 'workers0').glob('*/*.log')
    warned = log.read_text().count('Sample 1 is left out')  # workers would load more than is used
    assert warned >= 3
    for workers in (0, 2):
        line = rows(tmp_path / f'workers{workers}')[3]
        assert counts(line) == dict(num_broken_samples=warned, num_unmeasured_points=3 * 2 * 5)
        assert warnings(tmp_path / f'workers{workers}') == []


def test_sound_data_adds_nothing_to_the_log(tmp_path):
    (tmp_path / 'rig').mkdir()
    Rig().write(tmp_path / 'rig')
    pretrain(tmp_path / 'rig', tmp_path / 'work', 1)
    assert counts(rows(tmp_path / 'work')[1]) == {}
    assert warnings(tmp_path / 'work') == []


@pytest.fixture(scope='module')
def labelled(tmp_path_factory):
    """Three scans: seven points without measurement; no label of a class; no point in range."""
    root = make_semantickitti(tmp_path_factory.mktemp('scans'), frames=3)
    folder = root / 'sequences/00'
    scan = np.fromfile(folder / 'velodyne/000000.bin', np.float32).reshape(-1, 4)
    scan[10:17, 2] = np.nan
    scan.tofile(folder / 'velodyne/000000.bin')
    np.zeros(400, np.uint32).tofile(folder / 'labels/000001.label')
    np.tile(FAR, (400, 1)).astype(np.float32).tofile(folder / 'velodyne/000002.bin')
    converters.create_semantickitti_infos(root)
    return root


@pytest.mark.parametrize('task', ['semseg', 'panoptic'])
@pytest.mark.parametrize('batch_size', [1, 3])
def test_segmentation(task, batch_size, labelled, tmp_path):
    cfg = Config.fromfile(
        REPO / f'configs/{task}/minkunet-small_spconv_1xb2-1000i_sim-streets.py',
    )
    name = f'{task}_{batch_size}_{tmp_path.name}'
    cfg.merge_from_dict(
        {
            'work_dir': str(tmp_path),
            'train_dataloader.dataset.data_root': f'{labelled}/',
            'train_dataloader.batch_size': batch_size,
            'train_cfg.max_iters': 3 // batch_size,
            'default_hooks.logger.interval': 1,
            'log_processor.window_size': 1,  # losses of the step alone
            'experiment_name': name,
            'visualizer.name': name,
        }
    )
    for split in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            cfg[f'{split}_{part}'] = None
    train(Runner.from_cfg(cfg))
    lines = rows(tmp_path)
    # All three scans have been seen once.
    assert counts(lines[3 // batch_size]) == dict(
        num_unmeasured_points=7, num_empty_samples=1, num_unlabelled_samples=2
    )
    if batch_size == 1:  # the steps that count are those that train nothing
        totals = [lines[step].get('num_unlabelled_samples', 0) for step in (1, 2, 3)]
        assert np.diff(totals, prepend=0).tolist() == [
            int(lines[step]['loss'] == 0) for step in (1, 2, 3)
        ]
    empty, unlabelled = sorted(warnings(tmp_path), key=lambda line: 'labelled point' in line)
    assert '000002.bin' in empty and '000001.bin' not in empty
    assert 'num_unlabelled_samples' in unlabelled and '000000.bin' not in unlabelled


def batch(sizes, labels=None, notes=None):
    samples = []
    for i, size in enumerate(sizes):
        sample = Det3DDataSample(metainfo=dict(lidar_path=f'{i}.bin', **(notes or {})))
        if labels is not None:
            sample.gt_pts_seg = PointData(pts_semantic_mask=torch.full((size,), labels[i]))
        samples.append(sample)
    points = [torch.zeros(size, 4) for size in sizes]
    return dict(inputs=dict(points=points), data_samples=samples)


def runner(name):
    dataset = SimpleNamespace(metainfo=dict(ignore_index=4))
    return SimpleNamespace(
        message_hub=MessageHub.get_instance(name), train_dataloader=SimpleNamespace(dataset=dataset)
    )


def totals(run):
    return {key: value.current() for key, value in run.message_hub.log_scalars.items()}


def test_totals_by_hand():
    hook, run = LeftOutCountsHook(), runner('totals by hand')
    hook.after_train_iter(run, 0, batch([3, 5], labels=[1, 3]))
    assert totals(run) == {}
    hook.after_train_iter(run, 1, batch([3, 0, 2], labels=[4, 1, 0]))
    hook.after_train_iter(run, 2, batch([0, 1], notes=dict(num_unmeasured_points=6)))
    # What was replaced while loading, and what is there without a point.
    hook.after_train_iter(run, 3, batch([0, 1], notes=dict(num_empty_samples=2)))
    assert totals(run) == {
        'train/num_unlabelled_samples': 2,
        'train/num_empty_samples': 1 + 1 + 2 * 2 + 1,
        'train/num_unmeasured_points': 12,
    }


@pytest.mark.parametrize('data', [None, [1], dict(inputs=torch.zeros(2)), dict(data_samples=None)])
def test_batches_of_another_form_count_nothing(data):
    run = runner(f'other form {data}')
    LeftOutCountsHook().after_train_iter(run, 0, data)
    assert totals(run) == {}


def count_in_a_process():
    run = runner('processes')
    for sizes in ([4, 0], [0, 0]) if dist.get_rank() else ([4, 4], [0, 4]):
        data = batch(sizes, notes=dict(num_broken_samples=dist.get_rank()))
        LeftOutCountsHook().after_train_iter(run, 0, data)
    return totals(run)


def test_processes_are_summed(tmp_path):
    expected = {'train/num_empty_samples': 4, 'train/num_broken_samples': 4}
    assert run_in_processes(count_in_a_process, 2, tmp_path / 'joined') == [expected] * 2
