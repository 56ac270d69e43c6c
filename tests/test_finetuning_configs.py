"""Configs of fine-tuning: each builds, and the official ones hold the published settings."""

import re
from pathlib import Path

import pytest
from mmdet3d.registry import HOOKS, METRICS, MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.datasets.segmentation import label_maps

ROOT = Path(__file__).parents[1] / 'configs'
CONFIGS = sorted([*ROOT.glob('semseg/*.py'), *ROOT.glob('panoptic/*.py')])
# Label maps by dataset type; epochs by labelled part (reference of the official code).
LABELS = dict(
    NuScenesSegmentationDataset=label_maps.NUSCENES,
    SemanticKittiSegmentationDataset=label_maps.SEMANTICKITTI,
    SemanticPossDataset=label_maps.SEMANTICPOSS,
)
EPOCHS = {'0p1': 1000, '1': 500, '10': 100, '50': 50, '100': 30}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet3d')


def name(path):
    return f'{path.parent.name}/{path.stem}'


@pytest.mark.parametrize('path', CONFIGS, ids=name)
def test_every_config_builds_and_fits_its_data(path):
    cfg = Config.fromfile(path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        for transform in loader.dataset.pipeline:
            TRANSFORMS.build(transform)
    METRICS.build(cfg.val_evaluator)
    (fit,) = (HOOKS.build(hook) for hook in cfg.custom_hooks)
    loaded = HOOKS.build(cfg.default_hooks.loaded_weights)
    assert loaded.modules == ('backbone',) and type(fit).__name__ == 'ClassFitHook'
    labels = LABELS[cfg.train_dataloader.dataset.type]
    head = cfg.model.decode_head
    assert head.num_classes == head.ignore_index == labels.ignore_index
    assert cfg.model.data_preprocessor.ignore_index == labels.ignore_index
    if path.parent.name == 'panoptic':
        assert cfg.model.thing_labels == labels.thing_labels
        assert cfg.model.data_preprocessor.thing_labels == labels.thing_labels
        assert cfg.train_dataloader.dataset.panoptic and cfg.val_dataloader.dataset.panoptic
    assert bool(cfg.tta_model) == (path.parent.name == 'semseg')
    model = MODELS.build(cfg.model)
    frozen = 'linear-probe' in path.stem
    assert any(p.requires_grad for p in model.backbone.parameters()) != frozen
    if frozen:
        trained = [n for n, p in model.named_parameters() if p.requires_grad]
        assert trained == ['decode_head.conv_seg.weight', 'decode_head.conv_seg.bias']


@pytest.mark.parametrize(
    'path',
    [
        p
        for p in CONFIGS
        if re.search(r'(nus600|semantickitti)-\w+pct', p.stem) and 'probe' not in p.stem
    ],
    ids=name,
)
def test_official_schedules(path):
    cfg = Config.fromfile(path)
    part = re.search(r'-(\w+)pct', path.stem)[1]
    assert cfg.train_cfg.max_epochs == EPOCHS[part]
    assert cfg.train_dataloader.dataset.get('fraction', 1) == float(part.replace('p', '.')) / 100
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=1e-3, weight_decay=1e-4)
    (schedule,) = cfg.param_scheduler
    assert (schedule.type, schedule.T_max) == ('CosineAnnealingLR', EPOCHS[part])
    assert cfg.train_dataloader.batch_size == (8 if 'nus' in path.stem else 2)


@pytest.mark.parametrize('path', CONFIGS, ids=name)
def test_backbones_are_those_that_are_pretrained(path):
    """Input, voxels and backbone equal those of a pretraining config, whose checkpoint fits."""
    cfg = Config.fromfile(path).model
    cfg.backbone.pop('frozen', None)
    pretraining = [Config.fromfile(p).model for p in ROOT.glob('nclr/*.py')]
    assert any(
        cfg.backbone == other.backbone
        and cfg.data_preprocessor.voxel_size == other.data_preprocessor.voxel_size
        and cfg.data_preprocessor.feature_columns == other.data_preprocessor.feature_columns
        for other in pretraining
    )
