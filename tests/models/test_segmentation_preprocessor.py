"""Voxel labels by majority, and the maps from points to voxels, against a loop."""

from collections import Counter

import torch
from mmdet3d.structures import Det3DDataSample, PointData

from nclr_mm.models.data_preprocessors import (
    CalibrationDataPreprocessor,
    SegmentationDataPreprocessor,
)

IGNORE = 4


def batch(sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points, samples = [], []
    for size in sizes:
        cloud = torch.rand((size, 4), generator=generator) * 3
        points.append(cloud)
        labels = torch.randint(0, IGNORE + 1, (size,), generator=generator)
        samples.append(Det3DDataSample(gt_pts_seg=PointData(pts_semantic_mask=labels)))
    return dict(inputs=dict(points=points), data_samples=samples)


def preprocessor(**kwargs):
    return SegmentationDataPreprocessor(voxel_size=[1.0, 1.0, 1.0], ignore_index=IGNORE, **kwargs)


def test_voxels_take_the_label_of_most_points():
    data = batch([80, 1, 60])
    out = preprocessor()(data, training=True)
    first = 0
    for cloud, sample in zip(out['inputs']['points'], out['data_samples'], strict=True):
        labels = sample.gt_pts_seg.pts_semantic_mask
        voxel_labels = sample.gt_pts_seg.voxel_semantic_mask
        assert len(voxel_labels) == len(sample.batch_idx)
        cells = torch.floor(cloud[:, :3]).long()
        seen = {}
        for cell, voxel, label in zip(
            cells.tolist(), sample.point2voxel_map.tolist(), labels.tolist(), strict=True
        ):
            votes = seen.setdefault(tuple(cell), (voxel, Counter()))
            assert votes[0] == voxel  # points of one cell share a voxel, and no others do
            votes[1][label] += 1
        assert len({voxel for voxel, _ in seen.values()}) == len(seen) == len(voxel_labels)
        for voxel, votes in seen.values():
            del votes[IGNORE]
            expected = (
                {IGNORE}
                if not votes
                else {label for label, n in votes.items() if n == max(votes.values())}
            )
            assert int(voxel_labels[voxel]) == min(expected)
        rows = out['inputs']['voxels']['coors'][first : first + len(voxel_labels)]
        first += len(voxel_labels)
        assert (rows[:, 0] == sample.batch_idx).all()


def test_voxels_are_those_of_the_pretraining():
    points = batch([200, 30])['inputs']['points']
    kwargs = dict(voxel_size=[0.3, 0.3, 0.3], feature_columns=[3])
    ours = SegmentationDataPreprocessor(ignore_index=IGNORE, **kwargs).make_voxels(points, False)
    pretraining = CalibrationDataPreprocessor(**kwargs).make_voxels(points, False)
    for key in ('voxels', 'coors', 'xyz'):
        assert torch.equal(ours[key], pretraining[key])


def test_only_so_many_voxels_are_trained_on():
    out = preprocessor(max_voxels=5)(batch([80, 60]), training=True)
    for sample in out['data_samples']:
        assert len(sample.gt_pts_seg.voxel_semantic_mask) == 5
        assert set(sample.point2voxel_map.tolist()) == {-1, 0, 1, 2, 3, 4}
    whole = preprocessor(max_voxels=5)(batch([80, 60]), training=False)
    for sample in whole['data_samples']:
        assert sample.point2voxel_map.min() == 0 and len(sample.batch_idx) > 5
