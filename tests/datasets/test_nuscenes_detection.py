"""nuScenes detection. Oracle: mmdet3d's own data set."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmdet3d.registry import DATASETS

from nclr_mm.datasets import converters


@pytest.fixture(scope='module')
def infos(nuscenes_root, tmp_path_factory):
    return converters.create_nuscenes_infos(nuscenes_root, tmp_path_factory.mktemp('infos'))[
        'train'
    ]


def dataset(root, ann_file, **kwargs):
    annotations = dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True)
    config = dict(
        type='NuScenesDetectionDataset',
        data_root=str(root),
        ann_file=str(ann_file),
        data_prefix=dict(pts='samples/LIDAR_TOP', img='', sweeps='sweeps/LIDAR_TOP'),
        pipeline=[
            dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=5, use_dim=4),
            *([] if kwargs.get('test_mode') else [annotations]),
            dict(type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d']),
        ],
        box_type_3d='LiDAR',
        use_valid_flag=True,
    )
    return DATASETS.build(dict(config, **kwargs))


@pytest.mark.parametrize('test_mode', [False, True])
def test_samples_are_mmdet3ds(nuscenes_root, infos, test_mode):
    pair = [
        dataset(nuscenes_root, infos, type=kind, test_mode=test_mode)
        for kind in ('NuScenesDetectionDataset', 'NuScenesDataset')
    ]
    assert len(pair[0]) == len(pair[1]) == 2
    assert pair[0].metainfo == pair[1].metainfo
    for index in range(2):
        ours, theirs = (frames[index] for frames in pair)
        assert ours['inputs']['points'].equal(theirs['inputs']['points'])
        ours, theirs = (s['data_samples'] for s in (ours, theirs))
        assert ours.metainfo['lidar_path'] == theirs.metainfo['lidar_path']
        if test_mode:
            boxes = [s.eval_ann_info['gt_bboxes_3d'].tensor for s in (ours, theirs)]
        else:
            boxes = [s.gt_instances_3d.bboxes_3d.tensor for s in (ours, theirs)]
        assert len(boxes[0]) and boxes[0].equal(boxes[1])


@pytest.mark.parametrize('path', ['/etc/passwd', '../secret.bin', 'a/../../b', 'http://a/b'])
@pytest.mark.parametrize('part', ['scan', 'image'])
def test_paths_that_lead_out_of_the_root(nuscenes_root, infos, tmp_path, part, path):
    content = pickle.loads(infos.read_bytes())
    info = content['data_list'][1]
    if part == 'scan':
        info['lidar_points']['lidar_path'] = path
    else:
        info['images']['CAM_BACK']['img_path'] = path
    crafted = tmp_path / 'infos.pkl'
    crafted.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=f'infos.pkl: the path {path} leads out of .*root=True'):
        dataset(nuscenes_root, crafted)
    dataset(nuscenes_root, crafted, outside_root=True)


def test_sweeps_are_read_from_their_folder_alone(nuscenes_root, infos, tmp_path):
    """Of their paths mmdet3d takes the name of the file: a folder in them leads nowhere."""
    root = tmp_path / 'root'
    shutil.copytree(nuscenes_root / 'samples', root / 'samples')
    (root / 'sweeps/LIDAR_TOP').mkdir(parents=True)
    (root / 'sweeps/LIDAR_TOP/a.bin').write_bytes(np.full((2, 5), 7, np.float32).tobytes())
    content = pickle.loads(infos.read_bytes())
    sweep = dict(timestamp=0, lidar_points=dict(lidar_path='/elsewhere/a.bin'))
    for info in content['data_list']:
        info['lidar_sweeps'] = [dict(sweep, lidar_points=dict(sweep['lidar_points']))]
    (root / 'infos.pkl').write_bytes(pickle.dumps(content))
    path = dataset(root, 'infos.pkl').get_data_info(0)['lidar_sweeps'][0]['lidar_points']
    assert path['lidar_path'] == f'{root}/sweeps/LIDAR_TOP/a.bin'


def test_a_missing_info_file_names_the_command(nuscenes_root):
    with pytest.raises(FileNotFoundError, match=r'gone\.pkl is missing; .*create_data\.py nusc'):
        dataset(nuscenes_root, 'gone.pkl')


def test_a_scan_without_points_in_range(nuscenes_root, infos, tmp_path):
    """Training draws another, a test names it."""
    root = tmp_path / 'root'
    shutil.copytree(nuscenes_root / 'samples', root / 'samples')
    first = root / 'samples/LIDAR_TOP' / Path(dataset(root, infos).get_data_info(0)['lidar_path'])
    np.full((50, 5), 500, np.float32).tofile(first)
    pipeline = [
        dict(type='LoadLidarPoints', load_dim=5),
        dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True),
        dict(type='PointsRangeFilter', point_cloud_range=[-99, -99, -9, 99, 99, 9]),
        dict(type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d']),
    ]
    frames = dataset(root, infos, pipeline=pipeline)
    assert frames.prepare_data(0) is None
    drawn = frames[0]
    assert len(drawn['inputs']['points']) and drawn['data_samples'].num_empty_samples >= 1
    with pytest.raises(ValueError, match=rf'{first.name} has no point in the range'):
        dataset(root, infos, pipeline=[pipeline[0], *pipeline[2:]], test_mode=True)[0]


def test_a_number_of_broken_scans_is_passed_over(nuscenes_root, infos, tmp_path):
    root = tmp_path / 'root'
    shutil.copytree(nuscenes_root / 'samples', root / 'samples')
    frames = dataset(root, infos, max_broken=1)
    (root / 'samples/LIDAR_TOP' / frames.get_data_info(0)['lidar_path']).unlink()
    assert frames.prepare_data(0) is None
    assert frames.prepare_data(1) is not None
    with pytest.raises(FileNotFoundError):
        dataset(root, infos)[0]
