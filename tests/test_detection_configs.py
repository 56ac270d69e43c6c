"""The detectors' configs build, and hold mmdet3d's settings but for what their names say."""

from pathlib import Path

import pytest
from mmdet3d.registry import HOOKS, METRICS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)

LEAVES = sorted((Path(__file__).parents[1] / 'configs/det3d').glob('*.py'))
THEIRS = {
    'second': 'mmdet3d::second/second_hv_secfpn_8xb6-80e_kitti-3d-3class.py',
    'pv-rcnn': 'mmdet3d::pv_rcnn/pv_rcnn_8xb2-80e_kitti-3d-3class.py',
}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet3d')


def their_config(name: str) -> Config:
    from mmengine.hub import get_config

    return get_config(name)


def without_scope(value):
    """Inheriting from another package marks each part with its scope."""
    if isinstance(value, dict):
        return {k: without_scope(v) for k, v in value.items() if k != '_scope_'}
    return [without_scope(v) for v in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_leaves(path):
    cfg = Config.fromfile(path)
    assert cfg.custom_imports.imports == ['nclr_mm']
    theirs = their_config(THEIRS[path.stem.split('_')[0]])
    for part in ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert without_scope(cfg[part]) == without_scope(theirs[part]), part
    loader = cfg.train_dataloader
    assert loader.batch_size == int(path.stem.split('8xb')[1].split('-')[0])
    assert loader.dataset.times == 2 and loader.batch_size == theirs.train_dataloader.batch_size
    data = loader.dataset.dataset
    ending = path.stem.rpartition('-')[2]
    share = float(ending.removesuffix('pct')) / 100 if ending.endswith('pct') else 1
    assert (data.type, data.get('fraction', 1)) == ('KittiDetectionDataset', pytest.approx(share))
    original = theirs.train_dataloader.dataset.dataset.pipeline
    assert [t.type for t in data.pipeline] == [t.type for t in original]
    (sampling,) = [t for t in data.pipeline if t.type == 'ObjectSample']
    assert sampling.db_sampler.type == 'CheckedDataBaseSampler'
    assert not sampling.get('use_ground_plane', False)
    assert cfg.val_evaluator.type == cfg.test_evaluator.type == 'KittiDetectionMetric'
    METRICS.build(cfg.val_evaluator)
    for hook in cfg.custom_hooks:
        HOOKS.build(hook)


@pytest.mark.parametrize('path', [p for p in LEAVES if 'pct' not in p.stem], ids=lambda p: p.stem)
def test_models_build(path):
    model = MODELS.build(Config.fromfile(path).model)
    (hook,) = Config.fromfile(path).custom_hooks
    assert all(hasattr(model, module) for module in hook.modules)
