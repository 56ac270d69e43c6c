"""Metrics of several processes. Oracle: one process with all samples."""

import itertools

import numpy as np
import pytest
import torch
from mmdet3d.registry import METRICS
from mmengine.dataset import DefaultSampler
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement
from scipy.spatial.transform import Rotation

import nclr_mm  # noqa: F401 (registers the components)
from tests.processes import run_in_processes

CLASSES = ('car', 'person', 'road')
META = dict(
    classes=CLASSES,
    label2cat=dict(enumerate(CLASSES)),
    thing_labels=[0, 1],
    stuff_labels=[2],
    ignore_index=3,
)


def calibrated(sample: int) -> dict:
    """A sample with one camera whose pose is off, in the form that metrics are given."""
    rng = np.random.default_rng(sample)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([0, 0, 0.1 * rng.uniform()]).as_matrix()
    points = torch.from_numpy(rng.uniform(-10, 10, (50, 3)))
    mask = torch.from_numpy(rng.uniform(size=(1, 50)) < 0.5)
    prediction = BaseDataElement(
        metainfo=dict(img_shape=(64, 128)),
        lidar2cam=torch.from_numpy(pose)[None],
        valid=torch.tensor([bool(sample % 3)]),
        num_inliers=mask.sum(1),
        num_matches=mask.sum(1),
        reproj_error=torch.tensor([rng.uniform()]),
        voxels=points,
        points=points,
        point_scores=torch.from_numpy(rng.uniform(size=(1, 50))),
        pixel_scores=torch.from_numpy(rng.uniform(size=(1, 16, 32))),
        match_points=points[None],
        match_pixels=torch.from_numpy(rng.uniform(0, 64, (1, 50, 2))),
        match_scores=torch.ones(1, 50),
        match_mask=mask,
        match_inliers=mask,
    )
    cam2img = np.array([[90.0, 0, 63], [0, 88, 31], [0, 0, 1]])
    names = dict(sample_idx=sample, cam_names=['front'])
    return dict(names, lidar2cam=np.eye(4)[None], cam2img=cam2img[None], pred_calib=prediction)


def segmented(sample: int) -> dict:
    rng = np.random.default_rng(sample)
    objects = rng.integers(1, 4, 100 + sample)
    truth = dict(pts_semantic_mask=objects - 1, pts_instance_mask=objects)
    wrong = (rng.uniform(size=len(objects)) < 0.1 * (sample % 3)).astype(int)
    predicted = {key: torch.from_numpy((values + wrong) % 3) for key, values in truth.items()}
    return dict(eval_ann_info=truth, pred_pts_seg=predicted)


METRIC_CASES = {
    'CalibrationMetric': (calibrated, {}),
    'LidarSegMetric': (segmented, {}),
    'PanopticMetric': (segmented, dict(min_num_points=1)),
}


def evaluate(name: str, size: int, batch_size: int) -> dict:
    init_default_scope('mmdet3d')
    make, options = METRIC_CASES[name]
    metric = METRICS.build(dict(type=name, **options))
    metric.dataset_meta = META
    indices = iter(DefaultSampler(range(size), shuffle=False))
    while batch := list(itertools.islice(indices, batch_size)):
        metric.process({}, [make(index) for index in batch])
    return metric.evaluate(size)


@pytest.mark.parametrize('name', METRIC_CASES)
@pytest.mark.parametrize(('number', 'size', 'batch_size'), [(2, 7, 1), (2, 5, 2), (4, 9, 2)])
def test_each_sample_counts_once(tmp_path, name, number, size, batch_size):
    """Also where the processes do not divide the samples, so that some are loaded twice."""
    expected = evaluate(name, size, 1)
    assert len(expected) >= 4 and len(set(expected.values())) >= 4
    for found in run_in_processes(evaluate, number, tmp_path / 'run', name, size, batch_size):
        assert found == expected
