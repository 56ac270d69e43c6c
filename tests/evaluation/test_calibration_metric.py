"""The metric on hand-made predictions with known errors; SciPy, OpenCV and scikit-learn judge."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmdet3d.registry import METRICS
from mmdet3d.structures import Det3DDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement
from scipy.spatial.transform import Rotation
from sklearn.metrics import precision_recall_fscore_support

from nclr_mm.evaluation import CalibrationMetric, pose_errors

SIZE, MAP = (64, 128), (16, 32)
CAM2IMG = np.array([[90.0, 0, 63], [0, 88, 31], [0, 0, 1]])


def _pose(rng):
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=rng.integers(2**31)).as_matrix()
    pose[:3, 3] = rng.normal(0, 2, 3)
    return pose


def _moved(pose, degrees, metres, rng):
    """The pose with a rotation and a translation error of exactly this size."""
    axis, step = rng.normal(size=(2, 3))
    moved = pose.copy()
    turn = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis))
    moved[:3, :3] = turn.as_matrix() @ pose[:3, :3]
    moved[:3, 3] += metres * step / np.linalg.norm(step)
    return moved


def _sample(seed, errors, valid=None, num_points=300, num_matches=40):
    """A data sample whose cameras have the given (degrees, metres) errors."""
    rng = np.random.default_rng(seed)
    num = len(errors)
    true = np.stack([_pose(rng) for _ in errors])
    voxels = torch.from_numpy(rng.uniform(-10, 10, (2 * num_points, 3)))
    points = voxels[:num_points]  # those that the model used
    motion = _pose(rng)
    pred = BaseDataElement(
        metainfo=dict(img_shape=SIZE),
        lidar2cam=torch.from_numpy(np.stack([_moved(p, *e, rng) for p, e in zip(true, errors)])),
        valid=torch.tensor([True] * num if valid is None else valid),
        num_inliers=torch.full((num,), 7),
        num_matches=torch.full((num,), num_matches),
        reproj_error=torch.full((num,), 1.5),
        voxels=voxels,
        points=points,
        point_scores=torch.from_numpy(rng.uniform(size=(num, num_points))),
        pixel_scores=torch.from_numpy(rng.uniform(size=(num, *MAP))),
        match_points=points[:num_matches].repeat(num, 1, 1),
        match_pixels=torch.from_numpy(rng.uniform(0, 64, (num, num_matches, 2))),
        match_scores=torch.ones(num, num_matches),
        match_mask=torch.from_numpy(rng.uniform(size=(num, num_matches)) < 0.8),
        match_inliers=torch.zeros(num, num_matches, dtype=torch.bool),
    )
    sample = Det3DDataSample(
        metainfo=dict(
            sample_idx=seed,
            lidar2cam=true,
            cam2img=np.stack([CAM2IMG] * num),
            cam_names=[f'cam{i}' for i in range(num)],
            perturbation=motion,
        )
    )
    sample.pred_calib = pred
    return sample


def _evaluate(samples, **kwargs):
    evaluator = Evaluator(CalibrationMetric(**kwargs))
    evaluator.process(samples, None)
    return evaluator.evaluate(len(samples))


ERRORS = [(1, 0.5), (4, 3), (8, 1), (30, 9), (100, 4), (0, 0)]


def test_known_errors():
    result = _evaluate([_sample(0, ERRORS[:3]), _sample(1, ERRORS[3:])])
    degrees, metres = np.array(ERRORS, float).T
    assert result['camera/rot_err_mean'] == pytest.approx(degrees.mean())
    assert result['camera/rot_err_median'] == pytest.approx(np.median(degrees))
    assert result['camera/trans_err_mean'] == pytest.approx(metres.mean())
    assert result['camera/trans_err_median'] == pytest.approx(np.median(metres))
    assert result['camera/recall@5deg_2m'] == pytest.approx(2 / 6)  # the first and the last
    assert result['camera/recall@10deg_5m'] == pytest.approx(4 / 6)
    assert result['camera/recall@45deg_10m'] == pytest.approx(5 / 6)
    assert result['camera/failed'] == 0 and result['camera/num_poses'] == 6


def _with_rig(sample, errors, valid=True):
    rng = np.random.default_rng(7)
    true = sample.metainfo['lidar2cam']
    poses = np.stack([_moved(p, *e, rng) for p, e in zip(true, errors)])
    sample.pred_calib.rig_lidar2cam = torch.from_numpy(poses)
    sample.pred_calib.rig_valid = torch.tensor(valid)
    return sample


def test_the_rig_stands_beside_its_cameras():
    rigs = [_with_rig(_sample(0, [(90, 5), (3, 1)]), [(0.1, 0.02), (0.5, 0.1)])]
    rigs.append(_with_rig(_sample(1, [(90, 5), (3, 1)]), [(9, 1), (9, 1)], valid=False))
    result = _evaluate([*rigs, _sample(2, [(1, 0.1)])], failure_translation=30)
    assert result['rig/num_poses'] == 4 and result['camera/num_poses'] == 5
    assert result['rig/failed'] == 0.5 and result['camera/failed'] == 0
    assert result['rig/rot_err_mean'] == pytest.approx((0.1 + 0.5 + 180 + 180) / 4)
    assert result['rig/trans_err_median'] == pytest.approx((0.1 + 30) / 2)
    assert result['rig/recall@0.2deg_0.05m'] == 0.25 and result['rig/recall@1deg_0.2m'] == 0.5
    assert result['camera/recall@5deg_2m'] == pytest.approx(3 / 5)


def test_without_a_rig_nothing_is_said_of_one():
    assert not any(key.startswith('rig/') for key in _evaluate([_sample(0, ERRORS)]))


def test_pose_errors_against_scipy():
    rng = np.random.default_rng(0)
    pairs = np.stack([[_pose(rng), _pose(rng)] for _ in range(20)])
    degrees, metres = pose_errors(*torch.from_numpy(pairs).unbind(1))
    turns = Rotation.from_matrix(pairs[:, 0, :3, :3]).inv() * Rotation.from_matrix(
        pairs[:, 1, :3, :3]
    )
    relative = np.linalg.inv(pairs[:, 0]) @ pairs[:, 1]
    np.testing.assert_allclose(degrees, np.degrees(turns.magnitude()), atol=1e-9)
    np.testing.assert_allclose(metres, np.linalg.norm(relative[:, :3, 3], axis=1), atol=1e-9)


def _nan(pose):
    pose[0, 0] = np.nan


def _infinite(pose):
    pose[0, 3] = np.inf


def _no_rotation(pose):
    pose[:3, :3] *= 2


def _reflection(pose):
    pose[:3, :3] *= -1


@pytest.mark.parametrize('spoil', [_nan, _infinite, _no_rotation, _reflection, None])
def test_a_failed_pose_counts_everywhere(spoil):
    """``None``: the model itself says that the pose is invalid, though its matrix is exact."""
    samples = [_sample(0, [(0, 0), (2, 1)], valid=[spoil is not None, True])]
    if spoil is not None:
        spoil(samples[0].pred_calib.lidar2cam[0])
    result = _evaluate(samples, failure_translation=15)
    assert result['camera/failed'] == 0.5
    assert result['camera/rot_err_mean'] == pytest.approx(91)
    assert result['camera/rot_err_median'] == pytest.approx(91)
    assert result['camera/trans_err_mean'] == pytest.approx(8)
    assert result['camera/trans_err_median'] == pytest.approx(8)
    for name in ('5deg_2m', '10deg_5m', '45deg_10m'):
        assert result[f'camera/recall@{name}'] == 0.5
    assert all(np.isfinite(value) for value in result.values())


def test_initial_errors_are_those_of_the_pose_before_the_perturbation():
    rng = np.random.default_rng(3)
    sample = _sample(0, [(1, 1)] * 2)
    before = np.stack([_pose(rng), _pose(rng)])
    motion = _pose(rng)
    true = before @ np.linalg.inv(motion)  # p' = T p
    sample.set_metainfo(dict(perturbation=motion, lidar2cam=true))
    result = _evaluate([sample])
    turns = [
        np.degrees(Rotation.from_matrix(a[:3, :3].T @ b[:3, :3]).magnitude())
        for a, b in zip(before, true)
    ]
    shifts = [np.linalg.norm(a[:3, 3] - b[:3, 3]) for a, b in zip(before, true)]
    assert result['initial/rot_err_mean'] == pytest.approx(np.mean(turns))
    assert result['initial/trans_err_median'] == pytest.approx(np.median(shifts))
    # A rigid motion by an angle shows as this angle in each camera.
    angle = np.degrees(Rotation.from_matrix(motion[:3, :3]).magnitude())
    assert result['initial/rot_err_median'] == pytest.approx(angle)


def test_without_a_known_perturbation_there_are_no_initial_errors():
    sample = _sample(0, [(1, 1)])
    sample = {key: value for key, value in sample.to_dict().items() if key != 'perturbation'}
    metric = CalibrationMetric()
    metric.process(None, [sample])
    assert not any(key.startswith('initial') for key in metric.evaluate(1))


def _project(points, pose, cam2img=CAM2IMG):
    rotation = cv2.Rodrigues(pose[:3, :3])[0]
    uv = cv2.projectPoints(points, rotation, pose[:3, 3], cam2img, None)[0][:, 0]
    return uv, (points @ pose[:3, :3].T + pose[:3, 3])[:, 2]


def test_overlap_against_scikit_learn():
    samples = [_sample(seed, [(1, 1)] * 2) for seed in range(3)]
    result = _evaluate(samples)
    true, found = {'point': [], 'pixel': []}, {'point': [], 'pixel': []}
    for sample in samples:
        pred = sample.pred_calib
        for i, pose in enumerate(sample.metainfo['lidar2cam']):
            uv, depth = _project(pred.voxels.numpy(), pose)
            seen = (depth > 0) & (uv >= -0.5).all(1) & (uv < [SIZE[1] - 0.5, SIZE[0] - 0.5]).all(1)
            cells = np.zeros(MAP, bool)
            # A cell of the stride-4 map covers the pixels 4 i - 0.5 to 4 i + 3.5.
            column, row = np.floor((uv[seen] + 0.5) / 4).astype(int).T
            cells[row, column] = True
            true['point'].append(seen[: len(pred.points)])
            true['pixel'].append(cells.ravel())
            found['point'].append(pred.point_scores[i].numpy() > 0.5)
            found['pixel'].append(pred.pixel_scores[i].numpy().ravel() > 0.5)
    for name in true:
        assert np.concatenate(true[name]).any()
        expected = precision_recall_fscore_support(
            np.concatenate(true[name]), np.concatenate(found[name]), average='binary'
        )
        for key, value in zip(('precision', 'recall', 'f1'), expected):
            assert result[f'overlap/{name}_{key}'] == pytest.approx(value)


def test_matches_within_pixels():
    sample = _sample(0, [(1, 1)], num_points=50, num_matches=6)
    pred, pose = sample.pred_calib, sample.metainfo['lidar2cam'][0]
    cam = np.array([[0, 0, 5.0], [1, 0, 9], [0, 1, 7], [-1, 0, 4], [0, 0, -5], [0, 0, 3]])
    points = (cam - pose[:3, 3]) @ pose[:3, :3]
    uv, _ = _project(points, pose)
    shift = np.array([[0.5, 0], [0, 2], [3, 0], [40, 0], [0, 0], [0, 0]])  # 0.5, 2, 3, 40 px
    pred.match_points = torch.from_numpy(points)[None]
    pred.match_pixels = torch.from_numpy(uv + shift)[None]
    pred.match_mask = torch.tensor([[True] * 5 + [False]])  # the last is padding
    result = _evaluate([sample], match_thresholds=(1, 2.5, 5))
    assert result['match/within_1px'] == pytest.approx(1 / 5)
    assert result['match/within_2.5px'] == pytest.approx(2 / 5)
    assert result['match/within_5px'] == pytest.approx(3 / 5)  # the fifth lies behind the camera
    assert result['match/num_mean'] == 5


def test_nothing_predicted():
    sample = _sample(0, [(0, 0)], valid=[False], num_points=0, num_matches=0)
    sample.pred_calib.pixel_scores = torch.zeros(1, *MAP)
    result = _evaluate([sample])
    assert all(np.isfinite(value) for value in result.values())
    assert result['camera/failed'] == 1 and result['overlap/point_f1'] == 0
    assert result['match/within_5px'] == 0


def test_padded_samples_are_dropped():
    """mmengine pads the last batch of a distributed run, and cuts the results to the size."""
    metric = CalibrationMetric()
    samples = [_sample(0, [(1, 1)] * 3), _sample(1, [(3, 3)] * 3), _sample(0, [(1, 1)] * 3)]
    metric.process(None, [sample.to_dict() for sample in samples])
    assert metric.evaluate(2)['camera/num_poses'] == 6


def test_rows_are_written(tmp_path):
    outfile = tmp_path / 'new' / 'poses.json'
    sample = _sample(5, [(2, 1), (0, 0)], valid=[True, False])
    sample.pred_calib.reproj_error[1] = np.inf
    _evaluate([sample], outfile=str(outfile))
    rows = json.loads(outfile.read_text())
    assert [row['camera'] for row in rows] == ['cam0', 'cam1']
    assert rows[0]['rot_err'] == pytest.approx(2) and rows[0]['trans_err'] == pytest.approx(1)
    assert rows[0]['sample_idx'] == 5 and not rows[0]['failed']
    assert rows[1]['failed'] and rows[1]['rot_err'] is None and rows[1]['reproj_error'] is None
    assert [path.name for path in outfile.parent.iterdir()] == ['poses.json']


def test_rows_of_rigs_are_written(tmp_path):
    rows = tmp_path / 'rows.json'
    samples = [_with_rig(_sample(0, [(2, 1)]), [(0.5, 0.25)])]
    samples.append(_with_rig(_sample(1, [(2, 1)]), [(0.5, 0.25)], valid=False))
    _evaluate(samples, outfile=str(rows))
    good, bad = json.loads(rows.read_text())
    assert good['rig_rot_err'] == pytest.approx(0.5) and not good['rig_failed']
    assert good['rig_trans_err'] == pytest.approx(0.25)
    assert bad['rig_failed'] and bad['rig_rot_err'] is None and bad['rig_trans_err'] is None


def test_wrong_samples_are_named():
    good = _sample(0, [(1, 1)]).to_dict()
    metric = CalibrationMetric()
    with pytest.raises(ValueError, match='pred_calib'):
        metric.process(None, [{k: v for k, v in good.items() if k != 'pred_calib'}])
    with pytest.raises(ValueError, match='cam2img'):
        metric.process(None, [dict(good, cam2img=np.eye(3))])
    with pytest.raises(ValueError, match='match_mask'):
        metric.process(None, [dict(good, pred_calib=dict(good['pred_calib'], match_mask=None))])
    with pytest.raises(ValueError, match='no camera'):
        metric.compute_metrics([])


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(recall_thresholds=[(5,)]),
        dict(match_thresholds=[0]),
        dict(threshold=1.5),
        dict(failure_translation=-1),
        dict(outfile='poses.txt'),
    ],
)
def test_wrong_arguments_are_named(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        CalibrationMetric(**kwargs)


def test_built_from_a_config():
    metric = METRICS.build(dict(type='CalibrationMetric', prefix='val'))
    metric.process(None, [_sample(0, [(1, 1)]).to_dict()])
    assert 'val/camera/rot_err_median' in metric.evaluate(1)
