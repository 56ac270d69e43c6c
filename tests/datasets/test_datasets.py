"""Datasets: what comes out for each layout, and what wrong info files say."""

import copy
import pickle

import numpy as np
import pytest
from mmdet3d.registry import DATASETS

from nclr_mm.datasets import converters
from nclr_mm.datasets.converters.nuscenes import CAMERAS

META_KEYS = ['sample_idx', 'token', 'repeat_idx', 'lidar_path', 'img_path']
META_KEYS += ['cam_names', 'cam2img', 'lidar2cam', 'perturbation']


def pipeline(load_dim: int) -> list[dict]:
    return [
        dict(type='LoadLidarPoints', load_dim=load_dim, use_dim=4),
        dict(type='LoadCalibratedImages'),
        dict(type='ResizeImages', scale=(32, 24)),
        dict(type='RigidPerturbation', seed_by_sample=True),
        dict(type='PackCalibrationInputs', keys=['points', 'img'], meta_keys=META_KEYS),
    ]


@pytest.fixture(scope='module')
def info_files(nuscenes_root, semantickitti_root, kitti_root, tmp_path_factory):
    out = tmp_path_factory.mktemp('infos')
    return dict(
        nuscenes=converters.create_nuscenes_infos(nuscenes_root, out)['train'],
        semantickitti=converters.create_semantickitti_infos(semantickitti_root, out)['train'],
        kitti=converters.create_kitti_infos(kitti_root, out)['train'],
    )


@pytest.fixture
def nuscenes_config(nuscenes_root, info_files):
    return dict(
        type='NuScenesCalibrationDataset',
        data_root=str(nuscenes_root),
        ann_file=str(info_files['nuscenes']),
    )


def stored(path) -> dict:
    with open(path, 'rb') as file:
        return pickle.load(file)


@pytest.mark.parametrize(
    ('name', 'type_', 'cameras', 'load_dim'),
    [
        ('nuscenes', 'NuScenesCalibrationDataset', CAMERAS, 5),
        ('semantickitti', 'SemanticKittiCalibrationDataset', ('image_2',), 4),
        ('kitti', 'KittiCalibrationDataset', ('image_2',), 4),
    ],
)
def test_each_layout_loads(name, type_, cameras, load_dim, request, info_files):
    root = request.getfixturevalue(f'{name}_root')
    dataset = DATASETS.build(
        dict(
            type=type_,
            data_root=str(root),
            ann_file=str(info_files[name]),
            pipeline=pipeline(load_dim),
            test_mode=True,
        )
    )
    entries = stored(info_files[name])['data_list']
    assert len(dataset) == len(entries)
    for entry, sample in zip(entries, dataset, strict=True):
        meta = sample['data_samples']
        assert meta.sample_idx == entry['sample_idx']
        assert tuple(meta.cam_names) == cameras
        assert sample['inputs']['img'].shape == (len(cameras), 3, 24, 32)
        assert sample['inputs']['points'].shape[1] == 4
        assert meta.cam2img.shape == (len(cameras), 3, 3) and meta.cam2img.dtype == np.float64
        for i, camera in enumerate(cameras):
            truth = np.array(entry['images'][camera]['lidar2cam'])
            np.testing.assert_allclose(meta.lidar2cam[i] @ meta.perturbation, truth, atol=1e-9)
        if name == 'nuscenes':
            assert meta.token == entry['token']


def test_evaluation_sees_the_same_motions_each_time(nuscenes_config):
    config = dict(nuscenes_config, pipeline=pipeline(5), test_mode=True, repeats=3)
    first, second = (DATASETS.build(config) for _ in range(2))
    motions = np.stack([s['data_samples'].perturbation for s in first])
    again = np.stack([s['data_samples'].perturbation for s in second])
    assert len(motions) == 3 * 2
    np.testing.assert_array_equal(motions, again)
    assert len(np.unique(motions.round(9), axis=0)) == 6  # no two alike


def test_repeats_and_indices(nuscenes_config):
    dataset = DATASETS.build(dict(nuscenes_config, indices=[1], repeats=4))
    found = [dataset.get_data_info(i) for i in range(4)]
    assert [info['sample_idx'] for info in found] == [1] * 4
    assert [info['repeat_idx'] for info in found] == [0, 1, 2, 3]
    assert dataset.get_data_info(-1)['repeat_idx'] == 3
    with pytest.raises(IndexError, match='4 is outside of 4 samples'):
        dataset[4]
    with pytest.raises(ValueError, match='repeats must be at least 1'):
        DATASETS.build(dict(nuscenes_config, repeats=0))


def test_cameras_are_chosen_in_the_order_asked_for(nuscenes_config):
    cameras = ['CAM_BACK', 'CAM_FRONT']
    dataset = DATASETS.build(dict(nuscenes_config, cameras=cameras, pipeline=pipeline(5)))
    assert dataset[0]['data_samples'].cam_names == cameras
    assert ['CAM_BACK' in p for p in dataset[0]['data_samples'].img_path] == [True, False]


def test_label_files_have_full_paths(semantickitti_root, info_files):
    config = dict(
        type='SemanticKittiCalibrationDataset',
        data_root=str(semantickitti_root),
        ann_file=str(info_files['semantickitti']),
    )
    info = DATASETS.build(config).get_data_info(2)
    expected = str(semantickitti_root / 'sequences/00/labels/000002.label')
    assert info['pts_semantic_mask_path'] == info['pts_panoptic_mask_path'] == expected


def test_a_missing_info_file_names_the_command(nuscenes_config):
    for type_, command in (
        ('NuScenesCalibrationDataset', 'nuscenes'),
        ('SemanticKittiCalibrationDataset', 'semantickitti'),
        ('KittiCalibrationDataset', 'kitti'),
    ):
        config = dict(type=type_, data_root='nowhere', ann_file='infos.pkl')
        message = rf'nowhere/infos\.pkl is missing; .* tools/create_data\.py {command} --root-path'
        with pytest.raises(FileNotFoundError, match=message):
            DATASETS.build(config)


def image_of(infos: dict, camera: str = 'CAM_BACK') -> dict:
    return infos['data_list'][1]['images'][camera]


FAULTS = {
    'no sample': (lambda i: i['data_list'].clear(), 'lists no sample'),
    'no such camera': (
        lambda i: i['data_list'][1]['images'].pop('CAM_BACK'),
        'the sample 1 has no camera CAM_BACK; it has CAM_FRONT',
    ),
    'no matrix': (
        lambda i: image_of(i).pop('lidar2cam'),
        "the sample 1, CAM_BACK, lacks the field 'lidar2cam'",
    ),
    'no size': (
        lambda i: image_of(i).pop('width'),
        "the sample 1, CAM_BACK, lacks the field 'width'",
    ),
    'no scan': (lambda i: i['data_list'][0].pop('lidar_points'), "sample 0 lacks the field 'lidar"),
    'cam2img of 4x4': (
        lambda i: image_of(i).update(cam2img=np.eye(4).tolist()),
        r'cam2img of sample 1, CAM_BACK must be 3x3',
    ),
    'lidar2cam of 3x4': (
        lambda i: image_of(i).update(lidar2cam=np.eye(4)[:3].tolist()),
        r'lidar2cam of sample 1, CAM_BACK must be 4x4',
    ),
    'cam2img of words': (
        lambda i: image_of(i).update(cam2img='none'),
        r'the sample 1, CAM_BACK: the cam2img is unfit: ',
    ),
    'ragged lidar2cam': (
        lambda i: image_of(i).update(lidar2cam=[[1, 0], [0]]),
        r'the sample 1, CAM_BACK: the lidar2cam is unfit: ',
    ),
    'height that is no whole number': (
        lambda i: image_of(i).update(height=47.5),
        r'the sample 1, CAM_BACK: the height is unfit: ',
    ),
    'width of words': (
        lambda i: image_of(i).update(width='wide'),
        r'the sample 1, CAM_BACK: the width is unfit: ',
    ),
    'path that is none': (
        lambda i: image_of(i).update(img_path=None),
        r'the sample 1, CAM_BACK: the img_path is unfit: ',
    ),
    'camera that is none': (
        lambda i: i['data_list'][1]['images'].update(CAM_BACK=None),
        r'the sample 1, CAM_BACK: the entry is unfit: ',
    ),
    'images that are none': (
        lambda i: i['data_list'][1].update(images=None),
        r"the sample 1 must have the dicts 'lidar_points' and 'images'",
    ),
    'scan path that is none': (
        lambda i: i['data_list'][1]['lidar_points'].update(lidar_path=3),
        r'the sample 1 must have .* a path in lidar_points\.lidar_path',
    ),
    'sample that is none': (
        lambda i: i['data_list'].append(None),
        r'a sample must be a dict, got NoneType',
    ),
    'no metainfo': (lambda i: i.pop('metainfo'), r"must hold a dict with the dict 'metainfo'"),
    'no list': (lambda i: i.update(data_list=None), r"and the list 'data_list'"),
    'image outside of the root': (
        lambda i: image_of(i).update(img_path='a/../../secret.jpg'),
        r'CAM_BACK: the img_path is unfit: the path a/\.\./\.\./secret\.jpg leads out of',
    ),
    'scan anywhere': (
        lambda i: i['data_list'][1]['lidar_points'].update(lidar_path='/etc/passwd'),
        r'the path /etc/passwd leads out of .* outside_root=True',
    ),
    'scan on another machine': (
        lambda i: i['data_list'][1]['lidar_points'].update(lidar_path='http://host/scan.bin'),
        r'the path http://host/scan\.bin leads out of',
    ),
    'lidar2cam that mirrors': (
        lambda i: image_of(i).update(lidar2cam=np.diag([-1.0, 1, 1, 1]).tolist()),
        r'lidar2cam of sample 1, CAM_BACK is not a rigid motion',
    ),
    'lidar2cam not finite': (
        lambda i: image_of(i).update(lidar2cam=np.full((4, 4), np.nan).tolist()),
        r'lidar2cam of sample 1, CAM_BACK holds numbers that are not finite',
    ),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_faulty_info_files_are_refused(fault, nuscenes_config, info_files, tmp_path):
    infos = copy.deepcopy(stored(info_files['nuscenes']))
    damage, message = FAULTS[fault]
    damage(infos)
    path = tmp_path / 'broken.pkl'
    path.write_bytes(pickle.dumps(infos))
    with pytest.raises(ValueError, match=message) as caught:
        DATASETS.build(dict(nuscenes_config, ann_file=str(path)))
    assert 'broken.pkl' in str(caught.value)


@pytest.mark.parametrize(
    'content, message',
    {
        'empty': (lambda data: b'', 'cannot be read'),
        'cut': (lambda data: data[:-20], 'cannot be read'),
        'no pickle': (lambda data: b'no pickle', 'cannot be read'),
        'of a class that is gone': (lambda data: b'cnowhere\nThing\n.', 'cannot be read'),
        'a list': (lambda data: pickle.dumps([1]), 'must hold a dict'),
    }.values(),
)
def test_files_that_are_no_info_files(content, message, nuscenes_config, info_files, tmp_path):
    path = tmp_path / 'broken.pkl'
    path.write_bytes(content(info_files['nuscenes'].read_bytes()))
    expected = rf'The info file .*broken\.pkl {message}.* tools/create_data\.py nuscenes'
    with pytest.raises(ValueError, match=expected):
        DATASETS.build(dict(nuscenes_config, ann_file=str(path)))


def test_sizes_may_be_numpys(nuscenes_config, info_files, tmp_path):
    infos = copy.deepcopy(stored(info_files['nuscenes']))
    image_of(infos).update(width=np.int64(64))
    path = tmp_path / 'infos.pkl'
    path.write_bytes(pickle.dumps(infos))
    info = DATASETS.build(dict(nuscenes_config, ann_file=str(path))).get_data_info(1)
    assert type(info['images']['CAM_BACK']['width']) is int


def test_paths_outside_of_the_root_where_they_are_allowed(nuscenes_config, info_files, tmp_path):
    infos = copy.deepcopy(stored(info_files['nuscenes']))
    image_of(infos).update(img_path='/elsewhere/image.jpg')
    path = tmp_path / 'infos.pkl'
    path.write_bytes(pickle.dumps(infos))
    dataset = DATASETS.build(dict(nuscenes_config, ann_file=str(path), outside_root=True))
    assert dataset.get_data_info(1)['images']['CAM_BACK']['img_path'] == '/elsewhere/image.jpg'
