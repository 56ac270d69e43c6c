"""CenterPoint and its score, NDS, on a CPU. Oracle: the labels, which score as perfect boxes do."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet3d.registry import DATASETS, METRICS, MODELS
from mmdet3d.structures import LiDARInstance3DBoxes
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.datasets import converters
from nclr_mm.evaluation import nuscenes_metric
from tests.datasets.layouts import make_nuscenes

LEAF = Path(__file__).parents[2] / 'configs/det3d/centerpoint_second_8xb4-20e_nus-3d.py'


@pytest.fixture
def config(real_data, tmp_path):
    """The config on one real frame of the mini set's training half, with larger voxels."""
    init_default_scope('mmdet3d')
    root = real_data / 'nuscenes'
    infos = converters.create_nuscenes_infos(root, tmp_path)['train']
    cfg = Config.fromfile(LEAF)
    voxels = [0.2, 0.2, 0.1]
    cfg.model.data_preprocessor.voxel_layer.voxel_size = voxels
    cfg.model.pts_middle_encoder.sparse_shape = [41, 512, 512]
    cfg.model.train_cfg.pts.update(grid_size=[512, 512, 40], voxel_size=voxels)
    cfg.model.test_cfg.pts.voxel_size = voxels[:2]
    cfg.model.pts_bbox_head.bbox_coder.voxel_size = voxels[:2]
    for dataset in (cfg.train_dataloader.dataset.dataset, cfg.test_dataloader.dataset):
        dataset.update(data_root=str(root), ann_file=str(infos))
    cfg.test_evaluator.update(data_root=str(root), ann_file=str(infos))
    return cfg


def score(config, boxes, scores, labels):
    metric = METRICS.build(config.test_evaluator)
    metric.dataset_meta = DATASETS.build(config.test_dataloader.dataset).metainfo
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


CLASSES = ('car', 'truck', 'trailer', 'bus', 'construction_vehicle', 'bicycle', 'motorcycle')
CLASSES += ('pedestrian', 'traffic_cone', 'barrier')
VAL = ('scene-0003', 'scene-0012')  # of the official split


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(nuscenes_metric, 'print_log', lambda text, *args: lines.append(text))
    return lines


def scored(kind, root, infos, **data):
    """The score of boxes near the true ones, drawn anew for each frame of the data set."""
    metric = METRICS.build(dict(type=kind, data_root=str(root), ann_file=str(infos)))
    init_default_scope('mmdet3d')
    load = dict(type='LoadLidarPoints', load_dim=5)
    dataset = DATASETS.build(
        dict(
            type='NuScenesDetectionDataset',
            data_root=str(root),
            ann_file=str(infos),
            data_prefix=dict(pts='samples/LIDAR_TOP'),
            pipeline=[load, dict(type='Pack3DDetInputs', keys=['points'])],
            metainfo=dict(version=next(root.glob('v1.0-*')).name),
            test_mode=True,
            **data,
        )
    )
    metric.dataset_meta = dataset.metainfo
    frames = pickle.loads(infos.read_bytes())['data_list']
    frames = {frame['lidar_points']['lidar_path']: frame for frame in frames}
    for sample in dataset:
        sample = sample['data_samples'].metainfo
        frame = frames[Path(sample['lidar_path']).name]
        (box,) = (np.r_[o['bbox_3d'], 0, 0] for o in frame['instances'])
        draw = np.random.default_rng([*frame['token'].encode()])
        boxes = box + draw.normal(0, 0.5, (3, 9)) * ([1] * 3 + [0.1] * 4 + [0] * 2)
        found = dict(
            bboxes_3d=LiDARInstance3DBoxes(
                torch.tensor(boxes, dtype=torch.float32), box_dim=9, origin=(0.5, 0.5, 0.5)
            ),
            scores_3d=torch.tensor(draw.uniform(size=3)),
            labels_3d=torch.tensor([0, 0, 1]),
        )
        metric.process({}, [dict(sample, pred_instances_3d=found, pred_instances={})])
    return metric.evaluate(len(dataset))


def infos_of(root, **splits):
    (root / 'splits.json').write_text(json.dumps(splits))
    return converters.create_nuscenes_infos(root)


def test_a_whole_split_scores_as_in_mmdet3d(tmp_path, said):
    root = make_nuscenes(tmp_path / 'root', VAL, version='v1.0-trainval')
    infos = converters.create_nuscenes_infos(root)['val']
    found = scored('NuScenesDetectionMetric', root, infos)
    np.testing.assert_equal(found, scored('NuScenesMetric', root, infos))
    assert 0.1 < found['NuScenes metric/pred_instances_3d_NuScenes/car_AP_dist_1.0'] < 1
    assert not said


def test_a_part_scores_as_where_there_is_no_more(tmp_path, said):
    root = make_nuscenes(tmp_path / 'root', VAL, version='v1.0-trainval')
    alone = make_nuscenes(tmp_path / 'alone', VAL[:1], version='v1.0-trainval')
    infos = infos_of(root, val=VAL[:1], other=VAL)
    found = scored('NuScenesDetectionMetric', root, infos['val'])
    assert said == ['The score is over 2 of the 4 frames that v1.0-trainval has of val.']
    expected = scored('NuScenesMetric', alone, converters.create_nuscenes_infos(alone)['val'])
    np.testing.assert_equal(found, expected)
    with pytest.raises(AssertionError):
        np.testing.assert_equal(found, scored('NuScenesDetectionMetric', root, infos['other']))


@pytest.mark.parametrize(('indices', 'chosen'), [(1, [0]), (-3, [1, 2, 3]), ([3, 1], [1, 3])])
def test_chosen_frames_score_as_an_info_file_of_them(tmp_path, said, indices, chosen):
    root = make_nuscenes(tmp_path / 'root', VAL, version='v1.0-trainval')
    infos = converters.create_nuscenes_infos(root)['val']
    content = pickle.loads(infos.read_bytes())
    content['data_list'] = [content['data_list'][i] for i in chosen]
    few = tmp_path / 'few.pkl'
    few.write_bytes(pickle.dumps(content))
    found = scored('NuScenesDetectionMetric', root, infos, indices=indices)
    np.testing.assert_equal(found, scored('NuScenesDetectionMetric', root, few))
    number = len(chosen)
    assert (
        said == [f'The score is over {number} of the 4 frames that v1.0-trainval has of val.'] * 2
    )


def test_scenes_of_no_split_score_as_those_of_one(tmp_path, said):
    """A simulated drive, whose tables are those of a mini set."""
    root = make_nuscenes(tmp_path / 'root', ('street',))
    infos = infos_of(root, val=['street'])['val']
    found = scored('NuScenesDetectionMetric', root, infos)
    assert said == ['The score is over 2 frames, which are not the official split mini_val.']
    path = root / 'v1.0-mini/scene.json'
    path.write_text(path.read_text().replace('"name": "street"', '"name": "scene-0103"'))
    np.testing.assert_equal(found, scored('NuScenesMetric', root, infos))


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda r, i: i.unlink(), r'infos_val\.pkl is missing; it is made by `python tools/create'),
        (
            lambda r, i: shutil.rmtree(r / 'v1.0-mini'),
            r'v1\.0-mini is missing: expected the tables',
        ),
        (lambda r, i: (r / 'v1.0-mini/log.json').unlink(), r'v1\.0-mini/log\.json is missing'),
        (
            lambda r, i: (r / 'v1.0-mini/sample.json').write_text('[]'),
            r"sample\.json lacks 2 of the 2 frames of .*_val\.pkl, the first being 'street-0'",
        ),
        (
            lambda r, i: i.write_bytes(i.read_bytes().replace(b'v1.0-mini', b'v1.0-test')),
            r"infos_val\.pkl is of the version 'v1\.0-test', but only v1\.0-mini and",
        ),
    ],
)
def test_what_cannot_be_scored_is_said_before_the_run(tmp_path, damage, message):
    root = make_nuscenes(tmp_path / 'root', ('street',))
    infos = infos_of(root, val=['street'])['val']
    config = dict(type='NuScenesDetectionMetric', data_root=str(root), ann_file=str(infos))
    metric = METRICS.build(config)
    metric.dataset_meta = dict(classes=CLASSES, version='v1.0-trainval')
    other = dict(sample_idx=0, lidar_path='/data/street-2-LIDAR_TOP.pcd.bin')
    with pytest.raises(ValueError, match=r'does not have the frame of street-2-.*bin; data set'):
        metric.process({}, [other])
    damage(root, infos)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        metric.dataset_meta = dict(classes=CLASSES)
