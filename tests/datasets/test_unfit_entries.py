"""Entries of info files and databases that are not as they should be: one sentence, a short one.

A list that is there twice, in one that is there twice and so on, is a few bytes in a pickle; as a
text or an array it has no end. Here it ends, after a million parts.
"""

import pickle

import numpy as np
import pytest

from nclr_mm.datasets import (
    CalibrationDataset,
    KittiDetectionDataset,
    SemanticKittiSegmentationDataset,
)
from nclr_mm.datasets.transforms.object_sampling import CheckedDataBaseSampler


def nested(levels=20):
    value = ['x']
    for _ in range(levels):
        value = [value, value]
    return value


BOX = dict(
    **dict(bbox=[0, 0, 9, 9], bbox_label=0, bbox_label_3d=0, bbox_3d=[1, 1, 9, 4, 2, 2, 0.0]),
    **dict(center_2d=[0, 0], depth=5.0, truncated=0.0, occluded=0, alpha=0.0, score=0.0),
    **dict(index=0, group_id=0, difficulty=0, num_lidar_pts=5),
)
CAMERA = dict(
    **dict(img_path='a.png', cam2img=np.eye(3).tolist(), lidar2cam=np.eye(4).tolist()),
    **dict(lidar2img=np.eye(4).tolist(), height=4, width=4),
)


def entry(**changes):
    """An entry for each data set, with fields that are others, or, where None, not there."""
    own = dict(
        sample_idx=0,
        scene='s',
        lidar_points=dict(lidar_path='a.bin', num_pts_feats=4),
        pts_semantic_mask_path='a.label',
        images=dict(CAM2=CAMERA),
        instances=[BOX],
        plane=[0.0, -1, 0, 1.65],
    )
    return {key: value for key, value in (own | changes).items() if value is not None}


def build(kind, path):
    settings = dict(ann_file=str(path), data_root=str(path.parent), pipeline=[])
    if kind is KittiDetectionDataset:
        settings |= dict(
            data_prefix=dict(pts='', img=''),
            modality=dict(use_lidar=True, use_camera=False),
            metainfo=dict(classes=('Pedestrian', 'Cyclist', 'Car')),
        )
    return kind(**settings)


def write(folder, entries):
    (folder / 'a.label').write_bytes(b'')
    path = folder / 'infos.pkl'
    categories = dict(Pedestrian=0, Cyclist=1, Car=2)
    infos = dict(metainfo=dict(dataset='kitti', categories=categories), data_list=entries)
    path.write_bytes(pickle.dumps(infos))
    return path


EVERY = (CalibrationDataset, SemanticKittiSegmentationDataset, KittiDetectionDataset)
UNFIT = [
    *((kind, nested(), 'a sample must be a dict, got list') for kind in EVERY),
    *((kind, 3, 'a sample must be a dict, got int') for kind in EVERY),
    *((kind, entry(sample_idx=None), "lacks the field 'sample_idx'") for kind in EVERY),
    *((kind, entry(sample_idx=nested()), 'sample_idx of a sample must be') for kind in EVERY),
    *((kind, entry(token=nested()), 'token of a sample must be a number') for kind in EVERY),
    *(
        (kind, entry(lidar_points=dict(lidar_path=value)), 'a path must be a text')
        for kind in EVERY
        for value in (3, b'/etc/passwd', nested())
    ),
    *(
        (kind, entry(pts_semantic_mask_path=value), 'a path must be a text')
        for kind in EVERY[:2]
        for value in (3, nested())
    ),
    (SemanticKittiSegmentationDataset, entry(lidar_points=None), "the dict 'lidar_points'"),
    (SemanticKittiSegmentationDataset, entry(lidar_points=[1]), "the dict 'lidar_points'"),
    *(
        (KittiDetectionDataset, entry(plane=value), f'the sample 0: plane {message}')
        for value, message in (
            (nested(), 'must be numbers'),
            ('x', 'must be numbers'),
            ([0, float('nan'), 0, 1], 'holds numbers that are not finite'),
        )
    ),
    *(
        (
            KittiDetectionDataset,
            entry(images=dict(CAM2=CAMERA | {key: value})),
            f'the sample 0: {key} of CAM2 {message}',
        )
        for key in ('cam2img', 'lidar2img')
        for value, message in (
            (nested(), 'must be numbers'),
            ([[1, 0, float('inf')]] * 3, 'holds numbers that are not finite'),
        )
    ),
    *((KittiDetectionDataset, entry(instances=value), r'infos\.pkl') for value in ([None], 'abc')),
]


@pytest.mark.parametrize('kind', EVERY)
def test_what_is_fit(kind, tmp_path):
    assert len(build(kind, write(tmp_path, [entry()]))) == 1
    size = 4 if kind is KittiDetectionDataset else 3
    arrays = dict(cam2img=np.eye(size), lidar2cam=np.eye(4), lidar2img=np.eye(4))
    theirs = entry(  # as mmdet3d's converter writes it
        plane=np.array([0.0, -1, 0, 1.65]), images=dict(CAM2=CAMERA | arrays)
    )
    if kind is KittiDetectionDataset:
        theirs['images']['R0_rect'] = np.eye(4)
    assert len(build(kind, write(tmp_path, [theirs]))) == 1


@pytest.mark.parametrize(('kind', 'unfit', 'message'), UNFIT)
def test_unfit_entries(kind, unfit, message, tmp_path):
    path = write(tmp_path, [entry(), unfit])
    with pytest.raises(ValueError, match=message) as error:
        build(kind, path)
    assert 'infos.pkl' in str(error.value) and len(str(error.value)) < 1000


OBJECT = dict(
    **dict(name='Car', path='a.bin', image_idx=0, gt_idx=0, difficulty=0, group_id=0),
    **dict(box3d_lidar=np.array([1, 1, 1, 4, 2, 2, 0.0]), num_points_in_gt=50),
)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(name=nested()), 'has the name of a list'),
        (dict(name='Van'), "has the name 'Van'"),
        (dict(path=nested()), 'a path must be a text'),
        (dict(path=None), 'lacks the field path'),
        (dict(image_idx=None), 'lacks the field image_idx'),
        (dict(box3d_lidar=nested()), 'must be 7 finite numbers'),
    ],
)
def test_unfit_objects(changes, message, tmp_path):
    np.zeros((5, 4), np.float32).tofile(tmp_path / 'a.bin')
    path = tmp_path / 'database.pkl'

    def sampler(entry):
        path.write_bytes(pickle.dumps(dict(Car=[entry])))
        return CheckedDataBaseSampler(
            str(path),
            str(tmp_path),
            rate=1.0,
            prepare=dict(filter_by_difficulty=[-1], filter_by_min_points=dict(Car=5)),
            sample_groups=dict(Car=3),
            classes=['Car'],
        )

    sampler(OBJECT)
    unfit = {key: value for key, value in (OBJECT | changes).items() if value is not None}
    with pytest.raises(ValueError, match=message) as error:
        sampler(unfit)
    assert str(path) in str(error.value) and len(str(error.value)) < 1000
