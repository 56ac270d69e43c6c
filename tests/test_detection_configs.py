"""The detectors' configs build, and hold mmdet3d's settings but for what their names say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet3d.registry import HOOKS, METRICS, MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.models.data_preprocessors import hard_voxel_data_preprocessor

CONFIGS = Path(__file__).parents[1] / 'configs'
LEAVES = sorted((CONFIGS / 'det3d').glob('*.py'))
OFFICIAL = [path for path in LEAVES if '8xb' in path.stem and 'kitti' in path.stem]
FRAMES = [path for path in LEAVES if path.stem.endswith('kitti-frames')]
PRETRAINED = {
    'sim-kitti-3d-3class': 'nclr/nclr_second-small_spconv_lite0_1xb1-2500i_sim-kitti.py',
    'kitti-3d-3class': 'nclr/nclr_second_spconv_r50-dino_1xb4-50e_kitti.py',
    'nus-3d': 'nclr/nclr_second_spconv_r50-dino_1xb10-50e_nus.py',
}
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


def with_their_types(model: dict) -> dict:
    """The settings of a model without what checks points, or stands one voxel alone."""
    model = without_scope(model)
    assert model['data_preprocessor'].pop('type') == 'CheckedDet3DDataPreprocessor'
    assert model['middle_encoder'].pop('type') == 'CalibrationSparseEncoder'
    model['data_preprocessor']['type'] = 'Det3DDataPreprocessor'
    model['middle_encoder']['type'] = 'SparseEncoder'
    return model


def without_scope(value):
    """Inheriting from another package marks each part with its scope."""
    if isinstance(value, dict):
        return {k: without_scope(v) for k, v in value.items() if k != '_scope_'}
    return [without_scope(v) for v in value] if isinstance(value, (list, tuple)) else value


def sampling_loader(data: dict) -> dict:
    (sampling,) = [t for t in data.pipeline if t.type == 'ObjectSample']
    return sampling.db_sampler.points_loader


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_runs_can_be_had_again(path):
    cfg = Config.fromfile(path)
    assert cfg.default_hooks.exact_resume.type == 'ExactResumeHook'
    assert cfg.default_hooks.finite_gradients.type == 'FiniteGradientsHook'
    assert cfg.default_hooks.left_out_counts.type == 'LeftOutCountsHook'
    assert cfg.train_dataloader.sampler.type.startswith('Seeded')
    assert cfg.randomness.seed == 0
    data = cfg.train_dataloader.dataset
    assert data.get('dataset', data).pipeline[-1].type == 'PackLidarInputs'
    assert cfg.model.data_preprocessor.type == 'CheckedDet3DDataPreprocessor'
    assert 'LoadPointsFromFile' not in str(
        [cfg[f'{n}_dataloader'] for n in ('train', 'val', 'test')]
    )


@pytest.mark.parametrize('path', OFFICIAL, ids=lambda p: p.stem)
def test_official_leaves(path):
    cfg = Config.fromfile(path)
    assert cfg.custom_imports.imports == ['nclr_mm']
    theirs = their_config(THEIRS[path.stem.split('_')[0]])
    assert with_their_types(cfg.model) == without_scope(theirs.model)
    for part in ('optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert without_scope(cfg[part]) == without_scope(theirs[part]), part
    batches = cfg.train_dataloader
    assert batches.batch_size == int(path.stem.split('8xb')[1].split('-')[0])
    assert batches.dataset.times == 2 and batches.batch_size == theirs.train_dataloader.batch_size
    data = batches.dataset.dataset
    ending = path.stem.rpartition('-')[2]
    share = float(ending.removesuffix('pct')) / 100 if ending.endswith('pct') else 1
    assert (data.type, data.get('fraction', 1)) == ('KittiDetectionDataset', pytest.approx(share))
    original = theirs.train_dataloader.dataset.dataset.pipeline
    loader = dict(type='LoadLidarPoints', allow_empty=True)
    assert data.pipeline[0] == sampling_loader(data) == loader
    assert without_scope(data.pipeline[3:-1]) == without_scope(original[3:-1])
    assert without_scope(dict(data.pipeline[-1], type='Pack3DDetInputs')) == without_scope(
        original[-1]
    )
    assert cfg.val_dataloader.dataset.pipeline[0] == loader
    val, tested = (c.val_dataloader.dataset.pipeline[1:] for c in (cfg, theirs))
    assert without_scope(val) == without_scope(tested)
    (sampling,) = [t for t in data.pipeline if t.type == 'ObjectSample']
    assert sampling.db_sampler.type == 'CheckedDataBaseSampler'
    assert not sampling.get('use_ground_plane', False)
    assert cfg.val_dataloader.dataset.type == cfg.test_dataloader.dataset.type == data.type
    assert cfg.val_evaluator.type == cfg.test_evaluator.type == 'KittiDetectionMetric'
    METRICS.build(cfg.val_evaluator)
    for name in cfg.detection_hooks:  # mmdet3d's own draw, and want a visualizer
        HOOKS.build(cfg.default_hooks[name])
    assert cfg.default_hooks.checkpoint.interval == 1  # something to resume from
    assert cfg.auto_scale_lr.base_batch_size == 8 * batches.batch_size


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_data_set_and_evaluator_read_one_file(path):
    cfg = Config.fromfile(path)
    for loader in ('val', 'test'):
        dataset, evaluator = cfg[f'{loader}_dataloader'].dataset, cfg[f'{loader}_evaluator']
        assert Path(dataset.data_root, dataset.ann_file) == Path(evaluator.ann_file)
        if 'Kitti' in evaluator.type:
            assert dataset.get('indices') == evaluator.get('indices')


@pytest.mark.parametrize('path', FRAMES, ids=lambda p: p.stem)
def test_overfitting_changes_the_data_and_the_schedule_alone(path):
    cfg = Config.fromfile(path)
    theirs = their_config(THEIRS[path.stem.split('_')[0]])
    ours = with_their_types(cfg.model)
    for module in ('middle_encoder', 'backbone', 'neck'):
        assert ours[module].pop('norm_cfg')['momentum'] == 0.1
    assert ours == without_scope(theirs.model)
    data = cfg.train_dataloader.dataset.dataset
    assert (data.ann_file, data.indices) == ('kitti_infos_trainval.pkl', 3)
    assert 'ObjectSample' not in [stage.type for stage in data.pipeline]
    assert cfg.val_dataloader.dataset.indices == 3
    assert cfg.val_evaluator.ann_file.endswith(data.ann_file)


def test_the_data_of_centerpoint_are_theirs():
    """But for the pipeline, classes that check and that hand on seeds, and the sampler's seeds."""
    ours = Config.fromfile(CONFIGS / 'det3d/centerpoint_second_8xb4-20e_nus-3d.py')
    theirs = their_config(
        'mmdet3d::centerpoint/centerpoint_voxel01_second_secfpn_8xb4-cyclic-20e_nus-3d.py'
    )
    for split in ('train', 'val', 'test'):
        pair = [without_scope(cfg[f'{split}_dataloader']) for cfg in (ours, theirs)]
        for loader, prefixes in zip(pair, (('NuScenesDetection', 'Seeded'), ('NuScenes', ''))):
            inner = loader['dataset']['dataset'] if split == 'train' else loader['dataset']
            assert inner.pop('type') == f'{prefixes[0]}Dataset'
            inner.pop('pipeline')
            if split == 'train':
                assert loader['dataset'].pop('type') == f'{prefixes[1]}CBGSDataset'
                assert loader['sampler'].pop('type') == f'{prefixes[1]}DefaultSampler'
        assert pair[0] == pair[1]


@pytest.mark.parametrize('path', [p for p in LEAVES if 'pct' not in p.stem], ids=lambda p: p.stem)
def test_pretraining_fills_the_network(path):
    """What LoadedWeightsHook asks for has the names and shapes that NCLR's checkpoint has."""
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model).state_dict()
    METRICS.build(cfg.val_evaluator)
    hook = HOOKS.build(cfg.default_hooks.loaded_weights)
    (name,) = [n for n in PRETRAINED if path.stem.endswith(f'_{n}')] or ['kitti-3d-3class']
    pretraining = Config.fromfile(CONFIGS / PRETRAINED[name])
    given = MODELS.build(pretraining.model).state_dict()
    wanted = {n: v for n, v in model.items() if n.split('.')[0] in hook.modules}
    assert {n.split('.')[0] for n in wanted} == set(hook.modules) - {
        n
        for n in hook.modules
        if n.endswith('voxel_encoder')  # which has no weights
    }
    for tensor, value in wanted.items():
        assert given[tensor.removeprefix(hook.prefix)].shape == value.shape, tensor
    layer, theirs = cfg.model.data_preprocessor, pretraining.model.data_preprocessor
    assert layer.voxel_layer.voxel_size == theirs.voxel_layer.voxel_size


def test_no_voxel_of_a_real_scan_is_left_out(real_data):
    """mmdet3d leaves out silently what is more than max_voxels."""
    model = Config.fromfile(CONFIGS / PRETRAINED['kitti-3d-3class']).model
    preprocessor = MODELS.build(model.data_preprocessor)
    layer = model.data_preprocessor.voxel_layer
    low, high = np.split(np.array(layer.point_cloud_range), 2)
    scans = sorted((real_data / 'kitti/training/velodyne').glob('*.bin'))
    assert scans
    for path in scans:
        points = np.fromfile(path, dtype=np.float32).reshape(-1, 4)
        inside = ((points[:, :3] >= low) & (points[:, :3] < high)).all(axis=1)
        sizes = np.array(layer.voxel_size, dtype=np.float32)
        cells = np.floor((points[inside, :3] - low.astype(np.float32)) / sizes)
        number = len(np.unique(cells, axis=0))
        data = dict(
            inputs=dict(
                points=[torch.from_numpy(points)], img=[torch.zeros(1, 3, 8, 8, dtype=torch.uint8)]
            ),
            data_samples=[Det3DDataSample()],
        )
        (found,) = preprocessor(data, True)['inputs']['voxels']['counts']
        assert found == pytest.approx(number, rel=1e-3), path.name


def test_full_voxels_are_told_once(monkeypatch):
    layer = dict(
        voxel_size=[1.0, 1.0, 1.0],
        point_cloud_range=[0.0, 0.0, 0.0, 8.0, 8.0, 8.0],
        max_num_points=5,
        max_voxels=(4, 4),
    )
    preprocessor = MODELS.build(
        dict(type='HardVoxelCalibrationDataPreprocessor', voxel_layer=layer)
    )
    messages, seen = [], []
    monkeypatch.setattr(
        hard_voxel_data_preprocessor, 'print_log', lambda text, *args: messages.append(text)
    )
    for number in (3, 8, 8):
        points = torch.arange(number).float()[:, None].expand(-1, 4).contiguous() + 0.5
        preprocessor(dict(inputs=dict(points=[points]), data_samples=[Det3DDataSample()]), True)
        seen.append(len(messages))
    assert seen == [0, 1, 1]
    assert 'max_voxels=4' in messages[0]
