"""Detection as a user runs it: the commands of docs/detection.md on a small simulated drive."""

import json
import time

import pytest
import torch
from mmdet3d.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.apis import init_model
from nclr_mm.datasets import converters
from tests.kitti_drive import simulate_kitti
from tests.programs import run_program

PRETRAINING = 'configs/nclr/nclr_second-small_spconv_lite0_1xb1-2500i_sim-kitti.py'
DETECTORS = ('second-small', pytest.param('pv-rcnn-small', marks=pytest.mark.slow))


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Three streets of two frames in the KITTI layout, with all that detectors need."""
    return simulate_kitti(tmp_path_factory.mktemp('drive'))


@pytest.fixture(scope='module')
def pretrained(repo, tmp_path_factory):
    torch.manual_seed(7)
    model = init_model(repo / PRETRAINING)
    path = tmp_path_factory.mktemp('pretrained') / 'iter_1.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def train(repo, root, work_dir, detector, load_from):
    config = f'configs/det3d/{detector}_1xb1-600i_sim-kitti-3d-3class.py'
    options = [
        *(f'{loader}_dataloader.dataset.data_root={root}/' for loader in ('train', 'val', 'test')),
        *(f'{loader}_dataloader.num_workers=0' for loader in ('train', 'val', 'test')),
        *(f'{loader}_dataloader.persistent_workers=False' for loader in ('train', 'val', 'test')),
        f'train_dataloader.dataset.pipeline.2.db_sampler.data_root={root}/',
        f'train_dataloader.dataset.pipeline.2.db_sampler.info_path={root}/kitti_dbinfos_train.pkl',
        f'val_evaluator.ann_file={root}/kitti_infos_val.pkl',
        f'load_from={load_from}',
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=2',
        'default_hooks.checkpoint.interval=2',
        'default_hooks.logger.interval=1',
    ]
    arguments = [config, '--work-dir', work_dir, '--cfg-options', *options]
    return run_program('tools/train.py', *arguments, cwd=repo)


@pytest.mark.parametrize('detector', DETECTORS)
def test_from_pretraining_to_average_precision(repo, root, pretrained, tmp_path, detector):
    done = train(repo, root, tmp_path, detector, pretrained)
    assert done.returncode == 0, done.stderr[-4000:]
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    losses = [row['loss'] for row in rows if 'loss' in row]
    assert len(losses) == 2 and all(0 < loss < 1e3 for loss in losses)
    precisions = [
        value for row in rows for name, value in row.items() if '3D_AP40_moderate' in name
    ]
    assert precisions and all(0 <= value <= 100 for value in precisions)
    # Two small steps later the network still is near the pretrained one, and not a random one.
    trained = torch.load(tmp_path / 'iter_2.pth', weights_only=True)['state_dict']
    given = torch.load(pretrained, weights_only=True)['state_dict']
    for module in ('middle_encoder', 'backbone', 'neck'):
        kernels = [n for n, v in given.items() if n.startswith(f'{module}.') and v.dim() > 3]
        assert kernels
        for name in kernels:
            gap = (trained[name] - given[name]).norm() / given[name].norm()
            assert gap < 0.5, (name, gap)


def test_a_checkpoint_of_another_network_ends_the_run(repo, root, tmp_path):
    other = 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py'
    torch.save(dict(state_dict=init_model(repo / other).state_dict()), tmp_path / 'minkunet.pth')
    done = train(repo, root, tmp_path / 'work', 'second-small', tmp_path / 'minkunet.pth')
    assert done.returncode != 0
    assert 'minkunet.pth' in done.stderr.splitlines()[-1]
    assert 'middle_encoder' in done.stderr
    assert not list((tmp_path / 'work').glob('*.pth'))


@pytest.mark.slow
@pytest.mark.parametrize('detector', ['second', 'pv-rcnn'])
def test_a_step_of_the_official_network_on_a_real_frame(repo, real_data, tmp_path, detector):
    """In at most 20 s on two cores; twice that is let pass, for machines differ."""
    init_default_scope('mmdet3d')
    infos = converters.create_kitti_infos(real_data / 'kitti', tmp_path)
    converters.create_reduced_clouds(real_data / 'kitti', infos, tmp_path)
    cfg = Config.fromfile(repo / f'configs/det3d/{detector}_1xb3-100i_kitti-frames.py')
    data = cfg.train_dataloader.dataset.dataset
    prefix = dict(pts=str(tmp_path / 'training/velodyne_reduced'))
    data.update(data_root='', ann_file=str(infos['trainval']), data_prefix=prefix)
    sample = DATASETS.build(data)[0]
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = dict(
        inputs=dict(points=[sample['inputs']['points']]), data_samples=[sample['data_samples']]
    )
    model.train_step(batch, optimizer)  # the first step also warms up
    begin = time.perf_counter()
    losses = model.train_step(batch, optimizer)
    seconds = time.perf_counter() - begin
    assert all(value.isfinite().all() for value in losses.values())
    assert seconds < 40, f'{seconds:.1f} s'
