"""Metrics of several processes. Oracle: one process with all samples."""

import itertools

import numpy as np
import pytest
import torch
from mmdet3d.registry import METRICS
from mmdet3d.structures import LiDARInstance3DBoxes
from mmengine import dump
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


LIDAR2CAM = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
CAM2IMG = np.array([[700.0, 0, 600, 0], [0, 700, 180, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
#: lengths, heights, widths in metres
SIZES = dict(Car=(4.0, 1.5, 1.6), Pedestrian=(0.8, 1.8, 0.6))


def street(sample: int) -> dict:
    """A frame in mmdet3d's info form; boxes in the camera: x, y, z, length, height, width, yaw."""
    rng = np.random.default_rng([1, sample])
    objects = []
    for label, (length, height, width) in enumerate(SIZES.values()):
        for i in range(1 + sample % 3):
            x, z = 6.0 * i - 3 - 2 * label, rng.uniform(10, 25)
            box = [x, 1.7, z, length, height, width, -np.pi / 2]
            # The face that the camera sees.
            near = np.array([x - width / 2, 1.7 - height, x + width / 2, 1.7]) / (z - length / 2)
            corners = (700 * near + [600, 180, 600, 180]).tolist()
            objects.append(dict(bbox=corners, bbox_label=label, bbox_3d=box, score=0.0))
            objects[-1].update(truncated=0.0, occluded=0, alpha=0.3)
    image = dict(cam2img=CAM2IMG, lidar2cam=LIDAR2CAM, height=375, width=1242)
    return dict(sample_idx=100 + sample, images=dict(CAM2=image), instances=objects)


def detected(sample: int) -> dict:
    """Most of the objects of a frame, shifted, with scores that are all different."""
    rng = np.random.default_rng([2, sample])
    objects = [o for o in street(sample)['instances'] if rng.uniform() < 0.8]
    boxes = [o['bbox_3d'] for o in objects]
    # The camera looks along the LiDAR's x; boxes of the LiDAR are told by length, width, height.
    boxes = [[z + rng.normal(0, 0.2), -x, -y, le, w, h, 0] for x, y, z, le, h, w, _ in boxes]
    found = dict(
        bboxes_3d=LiDARInstance3DBoxes(torch.tensor(boxes).reshape(-1, 7)),
        scores_3d=torch.from_numpy(rng.uniform(0.1, 1, len(objects))),
        labels_3d=torch.tensor([o['bbox_label'] for o in objects], dtype=torch.long),
    )
    return dict(sample_idx=sample, pred_instances_3d=found, pred_instances={})


def evaluate_kitti(infos: str, size: int, batch_size: int) -> dict:
    init_default_scope('mmdet3d')
    metric = METRICS.build(dict(type='KittiDetectionMetric', ann_file=infos, repeats=20))
    metric.dataset_meta = dict(classes=list(SIZES))
    indices = iter(DefaultSampler(range(size), shuffle=False))
    while batch := list(itertools.islice(indices, batch_size)):
        metric.process({}, [detected(index) for index in batch])
    return metric.evaluate(size)


@pytest.mark.slow  # the evaluation is compiled in each process
def test_each_frame_of_kitti_counts_once(tmp_path):
    size = 5
    infos = str(tmp_path / 'infos.pkl')
    categories = {name: label for label, name in enumerate(SIZES)}
    frames = [street(index) for index in range(size)]
    dump(dict(metainfo=dict(categories=categories), data_list=frames), infos)
    expected = evaluate_kitti(infos, size, 1)
    assert len({value for value in expected.values() if 5 < value < 95}) >= 5
    for found in run_in_processes(evaluate_kitti, 2, tmp_path / 'run', infos, size, 2):
        assert found == expected
