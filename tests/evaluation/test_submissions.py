"""Submissions are read back by the development kits' rules."""

import numpy as np
import pytest
import torch
from mmdet3d.registry import METRICS
from nuscenes import NuScenes
from nuscenes.eval.lidarseg import validate_submission

from nclr_mm.datasets.segmentation.label_maps import NUSCENES, SEMANTICKITTI
from nclr_mm.evaluation.submissions import SubmissionWriter
from nclr_mm.simulation.generate import generate

CLASSES = np.array([0, 0, 3, 8, 15, 0])
OBJECTS = np.array([1, 1, 2, 0, 0, 3])


def sample(**masks):
    return dict(
        pred_pts_seg={key: torch.tensor(value) for key, value in masks.items()},
        eval_ann_info=None,
        lidar_path='data/semantickitti/sequences/08/velodyne/000012.bin',
        lidar_token='abc',
    )


def metric(labels, name='LidarSegMetric', **submission):
    out = METRICS.build(dict(type=name, submission=submission))
    out.dataset_meta = dict(canonical_raw=labels.canonical_raw.tolist())
    return out


def test_semantickitti(tmp_path):
    out = metric(SEMANTICKITTI, 'PanopticMetric', folder=str(tmp_path), form='semantickitti')
    out.process({}, [sample(pts_semantic_mask=CLASSES, pts_instance_mask=OBJECTS)])
    assert out.evaluate(1)['num_predictions'] == 1
    raw = np.fromfile(tmp_path / 'sequences/08/predictions/000012.label', '<u4')
    # car 10, truck 18, road 40, trunk 71 (semantic-kitti.yaml, learning_map_inv)
    assert (raw & 0xFFFF).tolist() == [10, 10, 18, 40, 71, 10]
    assert (raw >> 16).tolist() == OBJECTS.tolist()


def test_nuscenes(tmp_path):
    out = metric(NUSCENES, folder=str(tmp_path), form='nuscenes', split='val')
    out.process({}, [sample(pts_semantic_mask=CLASSES)])
    out.evaluate(1)
    path = tmp_path / 'lidarseg/val/abc_lidarseg.bin'
    assert np.fromfile(path, np.uint8).tolist() == [1, 1, 4, 9, 16, 1]
    assert (tmp_path / 'val/submission.json').read_text().count('"use_lidar": true') == 1

    out = metric(NUSCENES, 'PanopticMetric', folder=str(tmp_path), form='nuscenes', split='val')
    out.process({}, [sample(pts_semantic_mask=CLASSES, pts_instance_mask=OBJECTS)])
    from nuscenes.utils.data_io import load_bin_file

    both = load_bin_file(str(tmp_path / 'panoptic/val/abc_panoptic.npz'), 'panoptic')
    assert both.tolist() == [1001, 1001, 4002, 9000, 16000, 1003]


def test_what_does_not_fit_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"must be one of .* not 'waymo'"):
        SubmissionWriter(str(tmp_path), 'waymo')
    with pytest.raises(ValueError, match='1000 objects do not fit the format nuscenes'):
        SubmissionWriter(str(tmp_path), 'nuscenes').write(
            sample(), CLASSES, OBJECTS + 997, NUSCENES.canonical_raw
        )
    assert list(tmp_path.iterdir()) == []


def test_the_devkit_accepts_what_is_written(tmp_path, monkeypatch):
    root = generate(tmp_path, 2, 3, 'nuscenes', scenes=1, progress=False)
    nusc = NuScenes('v1.0-mini', str(root), verbose=False)
    # The devkit looks for scenes of the official splits alone.
    tokens = [sample['token'] for sample in nusc.sample]
    monkeypatch.setattr(validate_submission, 'get_samples_in_eval_set', lambda *_: tokens)
    folder = tmp_path / 'submission'
    out = metric(NUSCENES, folder=str(folder), form='nuscenes', split='val')
    for token in tokens:
        lidar = nusc.get('sample_data', nusc.get('sample', token)['data']['LIDAR_TOP'])
        number = (root / lidar['filename']).stat().st_size // 20
        prediction = sample(pts_semantic_mask=np.arange(number) % 16)
        out.process({}, [dict(prediction, lidar_token=lidar['token'])])
    out.evaluate(len(tokens))
    validate_submission.validate_submission(nusc, str(folder), 'val')


def test_modalities_can_be_named(tmp_path):
    writer = SubmissionWriter(str(tmp_path), 'nuscenes', 'val', meta=dict(use_external=True))
    writer.finish()
    assert '"use_external": true' in (tmp_path / 'val/submission.json').read_text()
    with pytest.raises(ValueError, match=r"not \['use_radars'\]"):
        SubmissionWriter(str(tmp_path), 'nuscenes', meta=dict(use_radars=True))


def test_another_data_set_in_the_form_of_nuscenes_is_an_error(tmp_path):
    scan = sample(pts_semantic_mask=CLASSES)
    for token in ('../../escaped', 'a/b', '', '.'):
        with pytest.raises(ValueError, match=f"000012.bin: lidar_token '{token}' names no file"):
            metric(NUSCENES, folder=str(tmp_path / 'out'), form='nuscenes').process(
                {}, [dict(scan, lidar_token=token)]
            )
    assert not list(tmp_path.rglob('*escaped*'))
    del scan['lidar_token']
    with pytest.raises(ValueError, match=r'000012.bin has no lidar_token'):
        metric(NUSCENES, folder=str(tmp_path), form='nuscenes').process({}, [scan])


def test_scans_without_labels_can_be_written_but_not_evaluated():
    scan = sample(pts_semantic_mask=CLASSES)
    del scan['eval_ann_info']
    out = METRICS.build(dict(type='LidarSegMetric'))
    with pytest.raises(ValueError, match='no labels to evaluate against; give test_evaluator'):
        out.process({}, [scan])
