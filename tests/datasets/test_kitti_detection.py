"""Oracles: OpenCV's projection, boxes by hand, and mmdet3d's own sampler reading the database."""

import pickle
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet3d.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from nclr_mm.datasets import converters, detection_infos, subsets
from nclr_mm.datasets.samplers import Draw
from nclr_mm.seeding import seed_generators
from tests.kitti_drive import simulate_kitti

CLASSES = ('Pedestrian', 'Cyclist', 'Car')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """A simulated drive in the KITTI layout with all that detectors need."""
    return simulate_kitti(tmp_path_factory.mktemp('drive'))


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet3d')


def read(path):
    with open(path, 'rb') as file:
        return pickle.load(file)


def points(path):
    return np.fromfile(path, dtype=np.float32).reshape(-1, 4)


def test_reduced_clouds_are_what_the_camera_sees(root):
    for info in read(root / 'kitti_infos_train.pkl')['data_list']:
        name = info['lidar_points']['lidar_path']
        whole = points(root / 'training/velodyne' / name)
        camera = info['images']['image_2']
        lidar2cam = np.array(camera['lidar2cam'])
        rotation, _ = cv2.Rodrigues(lidar2cam[:3, :3])
        intrinsics = np.array(camera['cam2img'])
        uv, _ = cv2.projectPoints(
            whole[:, :3].astype(float), rotation, lidar2cam[:3, 3], intrinsics, None
        )
        depth = whole[:, :3] @ lidar2cam[2, :3] + lidar2cam[2, 3]
        u, v = uv[:, 0].T
        seen = (depth > 0) & (u >= 0) & (u < camera['width']) & (v >= 0) & (v < camera['height'])
        seen &= depth < 100
        reduced = points(root / 'training/velodyne_reduced' / name)
        assert 100 < len(reduced) < len(whole)
        # Points on the very border may fall to either side.
        assert abs(len(reduced) - seen.sum()) <= 2
        both = {p.tobytes() for p in reduced} & {p.tobytes() for p in whole[seen]}
        assert len(both) >= len(reduced) - 2


def test_objects_of_the_database_lie_in_their_boxes(root):
    objects = read(root / 'kitti_dbinfos_train.pkl')
    infos = {i['sample_idx']: i for i in read(root / 'kitti_infos_train.pkl')['data_list']}
    entries = [entry for found in objects.values() for entry in found]
    assert len(entries) > 5 and len(objects['Car']) > 2
    assert len({entry['group_id'] for entry in entries}) == len(entries)
    filled = 0
    for entry in entries:
        own = points(root / entry['path'])
        assert len(own) == entry['num_points_in_gt']
        length, width, height, yaw = entry['box3d_lidar'][3:7]
        x = own[:, 0] * np.cos(yaw) + own[:, 1] * np.sin(yaw)
        y = own[:, 1] * np.cos(yaw) - own[:, 0] * np.sin(yaw)
        assert (np.abs(x) <= length / 2 + 1e-3).all() and (np.abs(y) <= width / 2 + 1e-3).all()
        assert (own[:, 2] >= -1e-3).all() and (own[:, 2] <= height + 1e-3).all()
        info = infos[entry['image_idx']]
        whole = points(root / 'training/velodyne_reduced' / info['lidar_points']['lidar_path'])
        whole = {p.tobytes() for p in whole.round(2)}
        moved = own.copy()
        moved[:, :3] += entry['box3d_lidar'][:3]
        assert sum(p.tobytes() in whole for p in moved.round(2)) >= 0.9 * len(own)
        filled += len(own) > 0
    assert filled > len(entries) / 2


def sampler(root, **kwargs):
    return dict(
        dict(
            type='CheckedDataBaseSampler',
            data_root=str(root),
            info_path=str(root / 'kitti_dbinfos_train.pkl'),
            rate=1.0,
            prepare=dict(filter_by_min_points=dict(Car=5, Pedestrian=5, Cyclist=5)),
            classes=list(CLASSES),
            sample_groups=dict(Car=4, Pedestrian=2, Cyclist=2),
            points_loader=dict(type='LoadLidarPoints'),
        ),
        **kwargs,
    )


def dataset(root, sampled=None, within=None, **kwargs):
    pipeline = [
        dict(type='LoadLidarPoints', allow_empty=True),
        dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True),
    ]
    if sampled:
        pipeline.append(dict(type='ObjectSample', db_sampler=sampled))
    if within:
        pipeline.append(dict(type='PointsRangeFilter', point_cloud_range=within))
    pipeline.append(dict(type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d']))
    config = dict(
        type='KittiDetectionDataset',
        data_root=str(root),
        ann_file='kitti_infos_train.pkl',
        data_prefix=dict(pts='training/velodyne_reduced'),
        pipeline=pipeline,
        modality=dict(use_lidar=True, use_camera=False),
        metainfo=dict(classes=CLASSES),
        box_type_3d='LiDAR',
    )
    return DATASETS.build(dict(config, **kwargs))


def test_sampled_objects_are_put_in_with_their_points(root):
    before = dataset(root)[0]['data_samples'].gt_instances_3d
    groups = dict(Car=20, Pedestrian=20, Cyclist=20)  # some collide with those of the frame
    frames = dataset(root, sampler(root, sample_groups=groups))
    drawn = (frames[0] for _ in range(20))
    augmented = next(d for d in drawn if len(d['data_samples'].gt_instances_3d) > len(before))
    after = augmented['data_samples'].gt_instances_3d
    assert (after.labels_3d[: len(before)] == before.labels_3d).all()
    new = after.bboxes_3d[len(before) :]
    inside = new.points_in_boxes_part(augmented['inputs']['points'][:, :3])
    assert all((inside == i).sum() >= 5 for i in range(len(new)))


def test_what_is_sampled_depends_on_the_seed_alone(root):
    """Not on what this process sampled before, which tells workers and interruptions apart."""

    def content(index, seed):
        sample = frames[Draw(index, (seed,))]
        return sample['inputs']['points'].tolist()

    groups = dict(Car=2, Pedestrian=2, Cyclist=2)
    frames = dataset(root, sampler(root, sample_groups=groups))
    first = [content(index, seed) for index in (0, 1) for seed in range(6)]
    again = [content(index, seed) for index in (1, 0) for seed in reversed(range(6))]
    assert again[::-1] == first
    assert len({str(points) for points in first[:6]}) > 1


def test_all_objects_of_a_class_are_sampled_as_often(root):
    built = TRANSFORMS.build(sampler(root))
    cars = built.db_infos['Car']
    assert len(cars) > 2
    seed_generators(0)
    draws = [built.sampler_dict['Car'].sample(2) for _ in range(300)]
    assert all(len({id(entry) for entry in drawn}) == 2 for drawn in draws)
    counts = Counter(id(entry) for drawn in draws for entry in drawn)
    # 600 / n each, in a binomial spread of which three and a half deviations are allowed.
    share = 2 / len(cars)
    spread = 3.5 * (300 * share * (1 - share)) ** 0.5
    assert all(abs(counts[id(entry)] - 300 * share) < spread for entry in cars)
    assert len(built.sampler_dict['Car'].sample(1000)) == len(cars)


def test_part_of_the_labels(root, monkeypatch):
    said = []
    monkeypatch.setattr(subsets, 'print_log', lambda text, logger: said.append(text))
    whole, part = dataset(root), dataset(root, fraction=0.5, offset=1)
    names = [info['lidar_points']['lidar_path'] for info in map(whole.get_data_info, range(4))]
    chosen = [part.get_data_info(i)['lidar_points']['lidar_path'] for i in range(len(part))]
    assert chosen == names[1::2]
    (text,) = said
    assert '2 of 4 frames (50.000%); 2 frames: 1, 3.' in text


def test_objects_of_frames_that_are_left_out_are_not_sampled(root):
    part = dataset(root, sampler(root), fraction=0.25)
    frames = {Path(part.get_data_info(0)['lidar_points']['lidar_path']).name}
    (transform,) = [t for t in part.pipeline.transforms if hasattr(t, 'db_sampler')]
    left = [e for found in transform.db_sampler.db_infos.values() for e in found]
    assert left and {f'{e["image_idx"]:06d}.bin' for e in left} == frames
    with pytest.raises(ValueError, match='DataBaseSampler samples objects of all frames'):
        dataset(root, sampler(root, type='DataBaseSampler'), fraction=0.25)


def test_faults_of_fractions(root):
    with pytest.raises(ValueError, match=r'kitti_infos_train.pkl: .* selects nothing of 4 frames'):
        dataset(root, fraction=0.1, offset=7)
    with pytest.raises(ValueError, match='A test takes all frames'):
        dataset(root, fraction=0.5, test_mode=True)


def test_a_database_that_is_gone_is_an_error_before_training(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'gone.pkl is missing: `python tools/create_data'):
        TRANSFORMS.build(sampler(root, info_path='gone.pkl'))
    copy = shutil.copytree(root / 'kitti_gt_database', tmp_path / 'kitti_gt_database')
    victim = sorted(copy.glob('*_Car_*.bin'), key=lambda p: p.stat().st_size)[-1]
    victim.unlink()
    with pytest.raises(FileNotFoundError, match=f'{victim.name} is missing, an object of'):
        TRANSFORMS.build(sampler(root, data_root=str(tmp_path)))


@pytest.mark.parametrize('path', ['/etc/passwd', '../secret.bin', 'a/../../b', 'http://a/b'])
def test_paths_that_lead_out_of_the_root(root, tmp_path, path):
    """The same file inside is read; where it lies is all that differs."""
    content = read(root / 'kitti_infos_train.pkl')
    scan = content['data_list'][0]['lidar_points']
    infos = tmp_path / 'infos.pkl'
    for key, part in (('scan', scan), ('image', content['data_list'][0]['images']['CAM2'])):
        name = dict(scan='lidar_path', image='img_path')[key]
        before = part[name]
        part[name] = path
        infos.write_bytes(pickle.dumps(content))
        part[name] = before
        with pytest.raises(
            ValueError, match=f'infos.pkl: the path {path} leads out of .*root=True'
        ):
            dataset(root, ann_file=str(infos))
        dataset(root, ann_file=str(infos), outside_root=True)
    infos.write_bytes(pickle.dumps(content))
    dataset(root, ann_file=str(infos))

    objects = read(root / 'kitti_dbinfos_train.pkl')
    objects['Car'][0]['path'] = path
    infos.write_bytes(pickle.dumps(objects))
    with pytest.raises(ValueError, match=f'infos.pkl: the path {path} leads out of'):
        TRANSFORMS.build(sampler(root, info_path=str(infos)))


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('sample_idx', '../../stolen'),
        ('sample_idx', '/nowhere/stolen'),
        ('sample_idx', 'a/b'),
        ('sample_idx', '..'),
        ('name', '../Car'),
        ('lidar_path', '../../../stolen.bin'),
        ('lidar_path', '/etc/passwd'),
    ],
)
def test_nothing_is_written_beside_the_folders(root, tmp_path, field, value):
    """Oracle: the files that are there before and after."""
    content = read(root / 'kitti_infos_train.pkl')
    info = next(i for i in content['data_list'] if i['instances'])
    if field == 'name':
        numbers = {o['bbox_label_3d'] for o in info['instances']} - {-1}
        content['metainfo']['categories'] = {value: min(numbers)}
    else:
        (info if field == 'sample_idx' else info['lidar_points'])[field] = value
    out = tmp_path / 'a/b/out'
    shutil.copytree(root / 'training/velodyne_reduced', out / 'training/velodyne_reduced')
    infos = tmp_path / 'infos.pkl'
    infos.write_bytes(pickle.dumps(content))
    before = sorted(tmp_path.rglob('*'))
    expected = 'leads out of' if field == 'lidar_path' else 'cannot name a file of the database'
    with pytest.raises(ValueError, match=rf'infos\.pkl: .*{value}.* {expected}'):
        converters.create_gt_database(infos, out)
    if field == 'lidar_path':
        with pytest.raises(ValueError, match=rf'infos\.pkl: the path {value} leads out of'):
            converters.create_reduced_clouds(root, dict(train=infos), out)
    assert sorted(tmp_path.rglob('*')) == before


def test_a_database_may_lead_out_of_the_root_where_it_is_allowed(root, tmp_path):
    objects = read(root / 'kitti_dbinfos_train.pkl')
    for entry in (e for entries in objects.values() for e in entries):
        entry['path'] = str(root / entry['path'])
    infos = tmp_path / 'infos.pkl'
    infos.write_bytes(pickle.dumps(objects))
    TRANSFORMS.build(sampler(root, info_path=str(infos), outside_root=True))


def test_a_class_without_objects_is_not_sampled(root, tmp_path):
    objects = read(root / 'kitti_dbinfos_train.pkl')
    objects.pop('Cyclist')
    objects['Pedestrian'] = []
    path = tmp_path / 'few.pkl'
    path.write_bytes(pickle.dumps(objects))
    built = TRANSFORMS.build(sampler(root, info_path=str(path)))
    assert built.sample_classes == ['Car'] and built.sample_max_nums == [4]
    assert len(dataset(root, sampler(root, info_path=str(path)))[0]['inputs']['points']) > 0


def test_a_frame_without_objects_is_passed_over(root, tmp_path):
    content = read(root / 'kitti_infos_train.pkl')
    content['data_list'][0]['instances'] = []
    path = tmp_path / 'empty.pkl'
    path.write_bytes(pickle.dumps(content))
    for sampled in (None, sampler(root)):
        frames = dataset(root, sampled)
        frames.ann_file = str(path)
        frames._fully_initialized = False
        frames.full_init()
        assert frames.prepare_data(0) is None
        drawn = [frames[0]['data_samples'] for _ in range(5)]
        assert all(len(sample.gt_instances_3d) for sample in drawn)


def test_a_scan_without_points_in_range(root, tmp_path, monkeypatch):
    """Training draws another frame, a test names it."""
    clouds = shutil.copytree(root / 'training/velodyne_reduced', tmp_path / 'clouds')
    first = sorted(clouds.glob('*.bin'))[0]
    first.write_bytes(b'')  # the camera saw nothing
    frames = dataset(root, data_prefix=dict(pts=str(clouds)))
    assert frames.prepare_data(0) is None
    far = np.full((50, 4), 500, dtype=np.float32)
    far.tofile(first)
    frames = dataset(root, within=[0, -40, -3, 70, 40, 1], data_prefix=dict(pts=str(clouds)))
    assert frames.get_data_info(0)['lidar_points']['lidar_path'] == str(first)
    assert frames.prepare_data(0) is None
    lines = []
    monkeypatch.setattr(detection_infos, 'print_log', lambda *arguments: lines.append(arguments))
    for _ in range(3):
        lines.clear()
        drawn = frames[0]
        assert len(drawn['inputs']['points']) > 100
        assert drawn['data_samples'].num_empty_samples == len(lines) > 0
    load = frames.pipeline.transforms[0]
    in_range = dict(type='PointsRangeFilter', point_cloud_range=[0, -40, -3, 70, 40, 1])
    pack = dict(type='Pack3DDetInputs', keys=['points'])
    tested = dict(data_prefix=dict(pts=str(clouds)), test_mode=True)
    with pytest.raises(ValueError, match=rf'{first.name} has no point in the range'):
        dataset(root, **tested, pipeline=[load, in_range, pack])[0]
    assert len(dataset(root, **tested, pipeline=[load, pack])[0]['inputs']['points']) == 50
    views = dict(type='MultiScaleFlipAug3D', img_scale=(1, 1), pts_scale_ratio=1, flip=True)
    views['transforms'] = [dict(type='RandomFlip3D'), in_range]
    with pytest.raises(ValueError, match=rf'{first.name} has no point in the range'):
        dataset(root, **tested, pipeline=[load, views, pack])[0]
    assert len(dataset(root, **tested, pipeline=[load, views, pack])[1]) == 2


LABEL = '{} 0.00 0 -1.57 599.41 156.40 629.75 189.25 {} {} {} 0.47 1.49 30.0 -1.56'


def test_unknown_classes_and_boxes_without_volume_count_as_dont_care(root, tmp_path, capsys):
    copy = shutil.copytree(root, tmp_path / 'copy')
    stem = (copy / 'ImageSets/train.txt').read_text().split()[0]
    path = copy / f'training/label_2/{stem}.txt'
    rows = [LABEL.format(*values) for values in (('Bus', 3, 3, 12), ('Car', 1.5, 0, 4))]
    path.write_text('\n'.join([*rows, LABEL.format('Car', 1.5, 1.6, 4)]))
    infos = converters.create_kitti_infos(copy)
    said = capsys.readouterr().out
    assert f'{stem}.txt: a Car without volume (object 1) counts as DontCare' in said
    assert 'classes that KittiDataset does not know, so DontCare: 1 Bus' in said
    entry = read(infos['train'])['data_list'][0]
    assert [instance['bbox_label_3d'] for instance in entry['instances']] == [-1, -1, 2]
    sample = dataset(copy)[0]['data_samples'].gt_instances_3d
    assert len(sample) == 1 and (sample.bboxes_3d.dims > 0).all()
    converters.create_gt_database(infos['train'], copy)
    objects = [o for found in read(copy / 'kitti_dbinfos_train.pkl').values() for o in found]
    assert sum(o['image_idx'] == int(stem) for o in objects) == 1
    path.write_text(LABEL.format('Car', 1.5, 'nan', 4))
    with pytest.raises(ValueError, match=rf'{stem}.txt must have .* none NaN or infinite'):
        converters.create_kitti_infos(copy)


def test_frames_listed_twice_and_missing_info_files(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / 'copy')
    path = copy / 'ImageSets/train.txt'
    stem = path.read_text().split()[0]
    path.write_text(f'{path.read_text()}\n{stem}\n')
    with pytest.raises(ValueError, match=f'train.txt lists the frame {stem} more than once'):
        converters.create_kitti_infos(copy)
    path.write_text(f'{stem}\n{int(stem)}\n')
    with pytest.raises(ValueError, match=f'lists the frame {stem} and {int(stem)} more than once'):
        converters.create_kitti_infos(copy)
    with pytest.raises(
        FileNotFoundError, match=r'gone.pkl is missing; it is made by `python tools'
    ):
        dataset(root, ann_file='gone.pkl')


def test_the_base_config_of_simulated_streets(root, repo):
    cfg = Config.fromfile(repo / 'configs/_base_/datasets/sim-kitti-3d-3class.py')
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    for part in (train, val):
        part.data_root = str(root)
    (sampling,) = [stage for stage in train.pipeline if stage.type == 'ObjectSample']
    sampling.db_sampler.data_root = str(root)
    sampling.db_sampler.info_path = str(root / 'kitti_dbinfos_train.pkl')
    low, high = np.split(np.array(cfg.point_cloud_range), 2)
    for sample in (DATASETS.build(train)[0], DATASETS.build(val)[0]):
        points = sample['inputs']['points'][:, :3].numpy()
        assert len(points) > 100 and (points >= low).all() and (points <= high).all()
    assert set(sample['data_samples'].eval_ann_info['gt_labels_3d']) <= {-1, 0, 1, 2}
    assert cfg.val_evaluator.ann_file.endswith(val.ann_file)


def test_a_view_without_points_gives_objects_without_points(root, tmp_path):
    """All of the scan lies behind the camera: the others still get their database."""
    infos = read(root / 'kitti_infos_train.pkl')
    frame = next(i for i in infos['data_list'] if i['instances'])['lidar_points']['lidar_path']
    clouds = tmp_path / 'training/velodyne_reduced'
    shutil.copytree(root / 'training/velodyne_reduced', clouds)
    (clouds / frame).write_bytes(b'')
    path = converters.create_gt_database(root / 'kitti_infos_train.pkl', tmp_path)
    entries = [entry for found in read(path).values() for entry in found]
    empty = [e for e in entries if e['image_idx'] == int(frame.removesuffix('.bin'))]
    assert empty and all(e['num_points_in_gt'] == 0 for e in empty)
    assert any(e['num_points_in_gt'] for e in entries)
    (clouds / frame).write_bytes(b'123')
    with pytest.raises(ValueError, match=f'{frame} is truncated'):
        converters.create_gt_database(root / 'kitti_infos_train.pkl', tmp_path)


def test_training_without_a_single_object(root, tmp_path):
    infos = read(root / 'kitti_infos_train.pkl')
    for info in infos['data_list']:
        info['instances'] = []
    path = tmp_path / 'empty.pkl'
    path.write_bytes(pickle.dumps(infos))
    with pytest.raises(
        ValueError, match=r'None of the \d+ frames of .*empty\.pkl .* has an object'
    ):
        dataset(root, ann_file=str(path))
    dataset(root, ann_file=str(path), test_mode=True)
