"""CenterPoint and its score, NDS, on a CPU. Oracle: the labels, which score as perfect boxes do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet3d.registry import DATASETS, METRICS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.datasets import converters

LEAF = Path(__file__).parents[2] / 'configs/det3d/centerpoint_second_8xb4-20e_nus-3d.py'


@pytest.fixture
def config(real_data, tmp_path, monkeypatch):
    """The config on one real frame of the mini set's training half, with larger voxels."""
    from nuscenes.eval.common import loaders

    init_default_scope('mmdet3d')
    root = real_data / 'nuscenes'
    infos = converters.create_nuscenes_infos(root, tmp_path)['train']
    official = loaders.create_splits_scenes()
    monkeypatch.setattr(
        loaders, 'create_splits_scenes', lambda: dict(official, mini_val=['scene-0061'])
    )
    cfg = Config.fromfile(LEAF)
    voxels = [0.2, 0.2, 0.1]
    cfg.model.data_preprocessor.voxel_layer.voxel_size = voxels
    cfg.model.pts_middle_encoder.sparse_shape = [41, 512, 512]
    cfg.model.train_cfg.pts.update(grid_size=[512, 512, 40], voxel_size=voxels)
    cfg.model.test_cfg.pts.voxel_size = voxels[:2]
    cfg.model.pts_bbox_head.bbox_coder.voxel_size = voxels[:2]
    for dataset in (cfg.train_dataloader.dataset.dataset, cfg.test_dataloader.dataset):
        dataset.update(data_root=str(root), ann_file=str(infos))
        dataset.metainfo.version = 'v1.0-mini'
    cfg.test_evaluator.update(data_root=str(root), ann_file=str(infos))
    return cfg


def score(config, boxes, scores, labels):
    metric = METRICS.build(config.test_evaluator)
    metric.dataset_meta = config.test_dataloader.dataset.metainfo
    found = dict(bboxes_3d=boxes, scores_3d=scores, labels_3d=labels)
    metric.process({}, [dict(sample_idx=0, pred_instances_3d=found, pred_instances={})])
    return metric.evaluate(1)


def test_labels_score_as_perfect_boxes(config):
    frames = DATASETS.build(config.train_dataloader.dataset.dataset)
    frames.full_init()
    labels = frames.get_data_info(0)['ann_info']
    boxes, classes = labels['gt_bboxes_3d'], torch.tensor(labels['gt_labels_3d'])
    names = config.test_dataloader.dataset.metainfo.classes
    values = score(config, boxes, torch.full((len(boxes),), 0.9), classes)
    name = 'NuScenes metric/pred_instances_3d_NuScenes'
    # Of classes that the frame does not hold, the precision is 0; far boxes do not count.
    near = boxes.gravity_center[:, :2].norm(dim=1) < 30
    seen = sorted({names[i] for i in classes[near]})
    assert {'car', 'pedestrian'} <= set(seen)
    for kind in seen:
        for distance in (0.5, 1.0, 2.0, 4.0):
            assert values[f'{name}/{kind}_AP_dist_{distance}'] == pytest.approx(1, abs=1e-4)
        for error in ('trans_err', 'scale_err', 'orient_err'):
            value = values[f'{name}/{kind}_{error}']
            assert np.isnan(value) or value == pytest.approx(0, abs=1e-3), (kind, error)
    moved = boxes.clone()
    moved.tensor[:, 0] += 0.7
    worse = score(config, moved, torch.full((len(boxes),), 0.9), classes)
    assert worse[f'{name}/car_AP_dist_0.5'] < 0.2 < 0.8 < worse[f'{name}/car_AP_dist_1.0']
    assert worse[f'{name}/NDS'] < values[f'{name}/NDS']


def test_a_step_and_a_prediction(config):
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    # Without CBGS, which wants an object of each class.
    frames = DATASETS.build(config.train_dataloader.dataset.dataset)
    data = model.data_preprocessor(pseudo_collate([frames[0]]), True)
    intensity = data['inputs']['points'][0][:, 3]
    assert intensity.min() >= 0 and 0.05 < intensity.max() <= 1
    losses, _ = model.parse_losses(model(**data, mode='loss'))
    losses.backward()
    assert torch.isfinite(losses)
    trained = [n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()]
    assert any(n.startswith('pts_middle_encoder.conv_input') for n in trained)
    tested = DATASETS.build(config.test_dataloader.dataset)
    data = model.data_preprocessor(pseudo_collate([tested[0]]), False)
    with torch.no_grad():
        (sample,) = model.eval()(**data, mode='predict')
    found = sample.pred_instances_3d
    values = score(config, found.bboxes_3d, found.scores_3d, found.labels_3d)
    assert 0 <= values['NuScenes metric/pred_instances_3d_NuScenes/NDS'] < 0.5
