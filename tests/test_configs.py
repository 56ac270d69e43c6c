"""Every config builds, and the official ones hold the published settings."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmdet3d.registry import HOOKS, METRICS, MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.models.voxel_grid import sparse_shape

CONFIGS = sorted((Path(__file__).parents[1] / 'configs' / 'nclr').glob('*.py'))


def load(name):
    (path,) = [p for p in CONFIGS if p.stem == name]
    return Config.fromfile(path)


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet3d')


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_every_config_builds(path):
    cfg = Config.fromfile(path)
    assert cfg.default_scope == 'mmdet3d' and cfg.custom_imports.imports == ['nclr_mm']
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for transform in loader.dataset.pipeline:
            TRANSFORMS.build(transform)
    METRICS.build(cfg.val_evaluator)
    for hook in (*cfg.custom_hooks, *cfg.default_hooks.values()):
        HOOKS.build(hook)
    assert cfg.default_hooks.loaded_weights.modules == ['backbone']
    backend = cfg.model.backbone.get('sparseconv_backend', 'spconv')  # a VoxelNet has no choice
    if backend == 'torchsparse' and find_spec('torchsparse') is None:
        with pytest.raises(ImportError, match='needs the package torchsparse'):
            MODELS.build(cfg.model)
        cfg.model.backbone.sparseconv_backend = 'spconv'
    model = MODELS.build(cfg.model)
    assert any(p.requires_grad for p in model.backbone.parameters())
    assert not any(p.requires_grad for p in model.img_backbone.parameters())


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_names_say_what_is_inside(path):
    cfg = Config.fromfile(path)
    parts = path.stem.split('_')
    assert parts[0] == 'nclr'
    assert cfg.model.backbone.get('sparseconv_backend', 'spconv') in parts
    assert (cfg.model.type == 'NCLRVoxelNet') == parts[1].startswith('second')
    batch, length = parts[-2].split('-')
    assert cfg.train_dataloader.batch_size == int(batch.removeprefix('1xb'))
    if length.endswith('e'):
        assert cfg.train_cfg.max_epochs == int(length[:-1])
    else:
        assert cfg.train_cfg.max_iters == int(length[:-1])


# Published settings (arXiv 2401.12452 and its official release).
OFFICIAL = {
    'nclr_minkunet34_w32_spconv_r50-dino_1xb10-50e_nus': dict(
        batch=10,
        scale=(416, 224),
        voxel=0.1,
        blocks=[2, 3, 4, 6],
        ann_file='nuscenes_infos_pretrain600.pkl',
    ),
    'nclr_minkunet18_w32_spconv_r50-dino_1xb4-50e_semantickitti': dict(
        batch=4,
        scale=(512, 160),
        voxel=0.05,
        blocks=[2, 2, 2, 2],
        ann_file='semantickitti_infos_train.pkl',
    ),
}


@pytest.mark.parametrize('name', OFFICIAL)
def test_official_settings(name):
    cfg, official = load(name), OFFICIAL[name]
    assert cfg.train_dataloader.batch_size == official['batch']
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=1e-3, weight_decay=1e-3)
    assert cfg.train_cfg.max_epochs == 50
    assert cfg.auto_scale_lr.base_batch_size == official['batch']
    assert cfg.train_dataloader.dataset.ann_file == official['ann_file']
    hook, _ = cfg.custom_hooks  # the other draws pictures
    assert hook.begin == 45
    pipeline = cfg.train_dataloader.dataset.pipeline
    # The release resizes and mirrors the images, and does no more to them.
    on_images = [t.type for t in pipeline if 'Image' in t.type or 'Photo' in t.type]
    assert on_images == ['LoadCalibratedImages', 'ResizeImages', 'RandomFlipImages']
    assert [tuple(t.scale) for t in pipeline if 'scale' in t and 'Resize' in t.type] == [
        official['scale']
    ]
    assert list(cfg.model.data_preprocessor.voxel_size) == [official['voxel']] * 3
    assert cfg.model.backbone.encoder_blocks == official['blocks']
    backbone = cfg.model.backbone
    channels = [backbone.base_channels, *backbone.encoder_channels, *backbone.decoder_channels]
    assert channels == [32, 32, 64, 128, 256, 256, 128, 96, 96]
    head = cfg.model.calib_head
    assert (head.num_voxels, head.num_pairs, head.channels) == (4096, 1024, 64)
    assert head.loss_contrast.temperature == head.loss_fused_contrast.temperature == 0.07
    assert head.match_temperature == 0.01
    assert head.keypoints == dict(number=128, thresholds=(0.9, 0.7), minimum=10)
    assert (head.loss_pose.rotation_weight, head.loss_pose.translation_weight) == (1.0, 0.01)
    assert cfg.model.img_backbone.depth == 50 and cfg.model.img_neck.out_channels == 64


@pytest.mark.parametrize('data', ['1xb10-50e_nus', '1xb4-50e_kitti'])
def test_official_settings_of_the_voxelnet(data):
    cfg = load(f'nclr_second_spconv_r50-dino_{data}')
    layer = cfg.model.data_preprocessor.voxel_layer
    assert list(layer.voxel_size) == [0.05, 0.05, 0.1]
    limits = [-51.2, -51.2, -3, 51.2, 51.2, 1]
    assert list(layer.point_cloud_range) == limits
    assert cfg.model.middle_encoder.in_channels == 4  # x, y, z, intensity
    # Of the layer alone; nothing else states them.
    assert not {'point_cloud_range', 'voxel_size'} & cfg.model.keys()
    assert 'sparse_shape' not in cfg.model.middle_encoder
    assert sparse_shape(layer.point_cloud_range, layer.voxel_size) == [41, 2048, 2048]
    assert cfg.model.backbone.layer_nums == [5, 5]
    assert cfg.model.backbone.out_channels == [128, 256]
    assert cfg.model.calib_head.point_channels == sum(cfg.model.neck.out_channels) == 512
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        (load_points,) = [t for t in loader.dataset.pipeline if t.type == 'LoadLidarPoints']
        assert load_points.use_dim == 4


def test_learning_rate_rises_for_five_percent_and_falls_to_a_hundredth():
    import torch
    from mmengine.optim import OptimWrapper
    from mmengine.registry import PARAM_SCHEDULERS

    cfg = load('nclr_minkunet34_w32_spconv_r50-dino_1xb10-50e_nus')
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    wrapper = OptimWrapper(optimiser)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(s, optimizer=wrapper), default_args=dict(epoch_length=100))
        for s in cfg.param_scheduler
    ]
    rates = []
    for _ in range(5000):
        rates.append(optimiser.param_groups[0]['lr'])
        wrapper.update_params(torch.zeros(1, requires_grad=True).sum())
        for scheduler in schedulers:
            scheduler.step()
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == pytest.approx(1e-3, rel=1e-3)
    assert 245 <= rates.index(max(rates)) <= 255  # 5 % of 5000
    assert rates[-1] == pytest.approx(1e-5, rel=0.02)


def test_documents_name_configs_that_exist():
    root = Path(__file__).parents[1]
    stems = {path.stem for path in CONFIGS}
    named = {}
    for path in [root / 'README.md', *sorted((root / 'docs').glob('*.md'))]:
        for name in re.findall(r'\bnclr_[\w-]+_[\w-]*x?b\d+-\d+[ei]_[\w-]+', path.read_text()):
            named.setdefault(name, path.name)
    assert len(named) > 5
    assert {n: f for n, f in named.items() if n not in stems} == {}
