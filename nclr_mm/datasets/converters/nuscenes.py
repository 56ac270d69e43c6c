"""nuScenes v1.0 tables (also those of simulated drives) to info files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from nclr_mm.datasets.checks import check_intrinsics, check_rigid, read_label_archive
from nclr_mm.datasets.infos import join_inside
from nclr_mm.datasets.segmentation.label_maps import NUSCENES

from . import common

NUM_PTS_FEATS = 5  # x, y, z, intensity, ring index
LIDAR = 'LIDAR_TOP'
CAMERAS = (
    'CAM_FRONT',
    'CAM_FRONT_RIGHT',
    'CAM_FRONT_LEFT',
    'CAM_BACK',
    'CAM_BACK_LEFT',
    'CAM_BACK_RIGHT',
)
TABLES = (
    'attribute',
    'calibrated_sensor',
    'category',
    'ego_pose',
    'instance',
    'log',
    'map',
    'sample',
    'sample_annotation',
    'sample_data',
    'scene',
    'sensor',
    'visibility',
)
# What the devkit looks up while it opens the tables: fields, and the table that a token is of.
LOOKED_UP: dict[str, dict[str, str | None]] = {
    'category': {'name': None},
    'instance': {'category_token': 'category'},
    'sensor': {'modality': None, 'channel': None},
    'calibrated_sensor': {'sensor_token': 'sensor'},
    'sample': {},
    'sample_data': {
        'calibrated_sensor_token': 'calibrated_sensor',
        'is_key_frame': None,
        'sample_token': 'sample',
    },
    'sample_annotation': {'instance_token': 'instance', 'sample_token': 'sample'},
    'map': {'filename': None, 'log_tokens': None},
    'log': {},
}
# Fields that are read after that.
FIELDS = {
    *('name', 'first_sample_token', 'next', 'prev', 'timestamp', 'filename', 'height', 'width'),
    *('calibrated_sensor_token', 'ego_pose_token', 'translation', 'rotation', 'camera_intrinsic'),
    *('size', 'num_lidar_pts', 'num_radar_pts', 'first_annotation_token'),
}
VERIFYING_SCENES = Path(__file__).with_name('slidr_verifying_scenes.txt')


def create_nuscenes_infos(
    root_path: str | Path,
    out_dir: str | Path | None = None,
    version: str | None = None,
    extra_tag: str = 'nuscenes',
    workers: int = 1,
    check: bool = False,
    hold_out: int | None = None,
) -> dict[str, Path]:
    """Write ``<extra_tag>_infos_<split>.pkl`` for each split that has scenes in the tables.

    A ``splits.json`` at the root ({split: [scene names]}) names the splits; else they follow
    from the version: ``train`` and ``val`` (for v1.0-mini those of the mini set), for
    v1.0-trainval also ``pretrain600`` and ``verify100`` (SLidR's halves of train), for
    v1.0-test ``test``. Scenes none of whose key frames has its scan, or an image, as of archives
    that were not downloaded, are left out with a notice.

    Args:
        version: folder of the tables; None takes the only ``v1.0-*`` folder of the root.
        workers: threads that read files.
        check: read every scan, label file and image fully, and print a notice if most boxes
            hold no point.
        hold_out: every so many frames of each scene of ``train`` go to the split ``heldout``
            instead: frames that training does not see, of streets that it does.

    Returns:
        The path of each info file written, by split.

    Raises:
        FileNotFoundError, ValueError: one sentence naming the file at fault; no file is
            written then.
    """
    root = common.require_directory(Path(root_path), 'expected the root of a nuScenes data set')
    common.check_options(Path(out_dir or root), workers)
    version = version or _only_version(root)
    tables = common.require_directory(root / version, 'expected the tables of this version')
    nusc = _open(root, tables)
    with _errors_named(nusc, 'a row of scene.json'):
        present = {scene['name'] for scene in nusc.scene}
    for table, kind in (('lidarseg', 'semantic'), ('panoptic', 'panoptic')):
        if table not in nusc.table_names:
            print(f'{tables} has no {table}.json: the info files have no {kind} labels.')
    wanted = _wanted_splits(root, version, present)
    names = present & set().union(*wanted.values())
    samples = [s for s in _samples_in_order(nusc) if s['scene_name'] in names]
    lacking = {}
    for kind, channels in (('scans', (LIDAR,)), ('images', CAMERAS)):
        lacking[kind] = _scenes_without(nusc, samples, kind, channels)
        samples = [s for s in samples if s['scene_name'] not in lacking[kind]]
    splits = _splits(tables, wanted, present, lacking)
    entries = common.map_with_progress(partial(_sample_info, nusc, check), samples, workers)
    if check:
        held = [flag for entry in entries for flag in entry.pop('held', ())]
        common.report_empty_boxes('sample_annotation.json', held)

    from mmdet3d.datasets import NuScenesDataset

    classes = NuScenesDataset.METAINFO['classes']
    metainfo = dict(
        dataset='nuscenes', version=version, categories={c: i for i, c in enumerate(classes)}
    )
    by_split = {
        split: [(s, e) for s, e in zip(samples, entries, strict=True) if s['scene_name'] in scenes]
        for split, scenes in splits.items()
    }
    if hold_out is not None:
        by_split['train'], by_split['heldout'] = _hold_out(by_split.get('train', []), hold_out)
    written = {}
    for split, pairs in by_split.items():
        chosen = [entry for _, entry in pairs]
        data_list = [dict(sample_idx=i, **entry) for i, entry in enumerate(chosen)]
        path = Path(out_dir or root) / f'{extra_tag}_infos_{split}.pkl'
        written[split] = common.write_infos(path, metainfo, data_list)
    return written


def _hold_out(frames: list[tuple], every: int) -> tuple[list[tuple], list[tuple]]:
    """Part frames, (sample, entry) in order, into those to train on and every n-th of a scene."""
    if every < 2:
        raise ValueError(f'--hold-out must be at least 2, got {every}.')
    seen: Counter = Counter()
    kept, held = [], []
    for frame in frames:
        seen[frame[0]['scene_name']] += 1
        (held if seen[frame[0]['scene_name']] % every == 0 else kept).append(frame)
    if not held:
        raise ValueError(f'--hold-out {every} holds nothing out: no scene has {every} frames.')
    return kept, held


def slidr_verifying_scenes() -> list[str]:
    """The 100 scenes of train that SLidR holds back for choosing parameters."""
    lines = VERIFYING_SCENES.read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def _only_version(root: Path) -> str:
    versions = sorted(p.name for p in root.glob('v1.0-*') if p.is_dir())
    if len(versions) == 1:
        return versions[0]
    if not versions:
        raise FileNotFoundError(f'{root} holds no folder v1.0-*: it is no nuScenes data set.')
    raise ValueError(f'{root} holds {", ".join(versions)}: choose one with --version.')


def _open(root: Path, tables: Path):
    from nuscenes import NuScenes  # late: the devkit takes seconds to import

    for table in TABLES:
        common.require_file(tables / f'{table}.json')
    try:
        return NuScenes(version=tables.name, dataroot=str(root), verbose=False)
    except (json.JSONDecodeError, UnicodeDecodeError):
        for path in sorted(tables.glob('*.json')):  # the error does not say which file it was
            common.read_json(path)
        raise
    except AssertionError as error:
        raise ValueError(f'{tables} is refused by nuscenes-devkit: {error}') from error
    except OSError:
        raise
    except Exception as error:  # of any class: the devkit takes the tables to be whole
        raise ValueError(f'{tables}: {_first_fault(tables) or repr(error)}.') from error


def _first_fault(tables: Path) -> str | None:
    """The first missing field or row that keeps the devkit from opening the tables."""
    rows = {name: common.read_json(tables / f'{name}.json') for name in TABLES}
    for name, content in rows.items():
        if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
            return f'{name}.json must hold a list of rows, each an object'
        for i, row in enumerate(content):
            if 'token' not in row:
                return f"{name}.json: row {i} (from 0) lacks the field 'token'"
    tokens = {name: {row['token'] for row in content} for name, content in rows.items()}
    for name, fields in LOOKED_UP.items():
        for row in rows[name]:
            where = f'{name}.json: the row {row["token"]}'
            if 'sample_token' in row:
                where += f' of the sample {row["sample_token"]}'
            for field, table in fields.items():
                if field not in row:
                    return f'{where} lacks the field {field!r}'
                if table and row[field] not in tokens[table]:
                    return f'{where} has the {field} {row[field]!r}, which is not in {table}.json'
    logs = {token for row in rows['map'] for token in row['log_tokens']}
    for token in sorted(tokens['log'] - logs):
        return f"map.json: no row has the log {token!r} among its 'log_tokens'"
    return None


@contextmanager
def _errors_named(nusc, what: str) -> Iterator[None]:
    """Turn the errors of faulty rows into a ValueError that says in what they were found."""
    try:
        yield
    except KeyError as error:
        key = error.args[0]
        if key in FIELDS:
            fault = f'lacks the field {key!r}'
        else:
            fault = f'refers to the token {key!r}, which is missing from its table'
        raise ValueError(f'{nusc.table_root}: {what} {fault}.') from error
    except TypeError as error:
        raise ValueError(
            f'{nusc.table_root}: {what} has a field of the wrong type: {error}.'
        ) from error


def _wanted_splits(root: Path, version: str, present: set[str]) -> dict[str, list[str]]:
    """Scenes of each split: its own splits or those of the version."""
    wanted = common.own_splits(root, present)
    if wanted is not None:
        return wanted
    from nuscenes.utils.splits import create_splits_scenes

    official = create_splits_scenes()
    if version == 'v1.0-mini':
        return dict(train=official['mini_train'], val=official['mini_val'])
    if version == 'v1.0-test':
        return dict(test=official['test'])
    verifying = slidr_verifying_scenes()
    return dict(
        train=official['train'],
        val=official['val'],
        pretrain600=sorted(set(official['train']) - set(verifying)),
        verify100=verifying,
    )


def _scenes_without(nusc, samples: list[dict], kind: str, channels: tuple[str, ...]) -> set[str]:
    """Scenes of which no key frame has a file of the channels.

    Args:
        kind: what the files are, for an error.

    Raises:
        FileNotFoundError: if that is all of them.
    """
    found, lacking = set(), {}
    for sample in samples:
        scene = sample['scene_name']
        if scene in found:
            continue
        with _errors_named(nusc, f'a row of the sample {sample["token"]}'):
            rows = [
                nusc.get('sample_data', sample['data'][c]) for c in channels if c in sample['data']
            ]
            files = [_file(nusc, 'sample_data', row) for row in rows]
        if any(file.is_file() for file in files):
            found.add(scene)
        else:
            lacking.setdefault(scene, []).extend(files)
    if found:
        return lacking.keys() - found
    for file in chain.from_iterable(lacking.values()):
        raise FileNotFoundError(
            f'{file} is missing, and so are all other {kind} of the scenes to convert.'
        )
    return set()


def _splits(
    tables: Path, wanted: dict[str, list[str]], present: set[str], lacking: dict[str, set[str]]
) -> dict[str, set[str]]:
    """Scenes of each split that can be used; those that lack scans or images are named."""
    if not present & set().union(*wanted.values()):
        raise ValueError(
            f'{tables} has no scene of the splits {", ".join(wanted)}; for scenes of your '
            f'own write {tables.parent / "splits.json"} as '
            '{"train": [scene names], "val": [scene names]}.'
        )
    splits = {}
    for split, names in wanted.items():
        found, notice = present.intersection(names), ''
        for kind, scenes in lacking.items():
            if left_out := sorted(found & scenes):
                few = f' ({", ".join(left_out)})' if len(left_out) <= 5 else ''
                notice += f'; {len(left_out)} without {kind}{few}, left out'
                found -= scenes
        if found:
            print(f'{split}: {len(found)} of {len(names)} scenes{notice}')
            splits[split] = found
        elif notice:
            print(f'{split}: none of its {len(names)} scenes{notice}')
        else:
            print(f'{split}: none of its {len(names)} scenes is in {tables}, left out')
    return splits


def _samples_in_order(nusc) -> list[dict]:
    """All key frames, scene by scene in order of time, with the names of their scenes."""
    samples = []
    for scene in nusc.scene:
        with _errors_named(nusc, f'a row of the scene {scene["name"]}'):
            token = scene['first_sample_token']
            while token:
                sample = nusc.get('sample', token)
                samples.append(dict(sample, scene_name=scene['name']))
                token = sample['next']
    return samples


def _sample_info(nusc, check: bool, sample: dict) -> dict:
    with _errors_named(nusc, f'a row of the sample {sample["token"]}'):
        return _read_sample(nusc, check, sample)


def _read_sample(nusc, check: bool, sample: dict) -> dict:
    lidar = nusc.get('sample_data', _channel(sample, LIDAR))
    lidar_path = _file(nusc, 'sample_data', lidar)
    num_points = common.count_points(lidar_path, NUM_PTS_FEATS)
    points = common.check_points(lidar_path, NUM_PTS_FEATS) if check else None
    lidar2ego, ego2global = _poses(nusc, lidar)
    info = dict(
        token=sample['token'],
        scene=sample['scene_name'],
        timestamp=sample['timestamp'] / 1e6,
        ego2global=ego2global.tolist(),
        lidar_points=dict(
            lidar_path=_name_in(lidar, LIDAR),
            num_pts_feats=NUM_PTS_FEATS,
            lidar2ego=lidar2ego.tolist(),
            sample_data_token=lidar['token'],
        ),
        images={
            camera: _camera_info(nusc, sample, camera, ego2global @ lidar2ego, check)
            for camera in CAMERAS
            if camera in sample['data']
        },
    )
    if not info['images']:
        raise ValueError(f'{nusc.dataroot}: the sample {sample["token"]} has no camera image.')
    info.update(_masks(nusc, lidar['token'], num_points, check))
    if nusc.sample_annotation:
        rotation = np.linalg.inv(ego2global[:3, :3] @ lidar2ego[:3, :3])
        info['instances'] = _instances(nusc, lidar['token'], rotation)
        if points is not None:
            info['held'] = _boxes_hold_points(nusc, lidar['token'], points)
    return info


def _camera_info(nusc, sample: dict, camera: str, lidar2global: np.ndarray, check: bool) -> dict:
    data = nusc.get('sample_data', sample['data'][camera])
    path = _file(nusc, 'sample_data', data)
    size = common.image_size(path)
    if size != (data['height'], data['width']):
        raise ValueError(
            f'{path} is {size[1]}x{size[0]}, but sample_data.json says '
            f'{data["width"]}x{data["height"]}.'
        )
    if check:
        common.check_image(path)
    cam2ego, ego2global = _poses(nusc, data)
    record = nusc.get('calibrated_sensor', data['calibrated_sensor_token'])
    name = f'calibrated_sensor.json: camera_intrinsic of {camera} ({record["token"]})'
    cam2img = check_intrinsics(record['camera_intrinsic'], name)
    for key, numbers in record.items():  # nuImages: camera_distortion
        if 'dist' in key.lower() and numbers and np.any(numbers):
            raise ValueError(
                f'calibrated_sensor.json: {key} of {camera} ({record["token"]}) is not 0; take the '
                'distortion out of the images first, as nuScenes does.'
            )
    # Both ego poses: the car moves between the two moments of exposure.
    lidar2cam = np.linalg.inv(ego2global @ cam2ego) @ lidar2global
    lidar2cam[3] = (0, 0, 0, 1)
    return dict(
        img_path=_name_in(data, camera),
        cam2img=cam2img.tolist(),
        lidar2cam=check_rigid(lidar2cam, f'lidar2cam of {data["filename"]}').tolist(),
        height=size[0],
        width=size[1],
        timestamp=data['timestamp'] / 1e6,
        cam2ego=cam2ego.tolist(),
        sample_data_token=data['token'],
    )


def _poses(nusc, data: dict) -> tuple[np.ndarray, np.ndarray]:
    """sensor2ego and ego2global (4x4 each) at the moment of ``data``."""
    sensor = nusc.get('calibrated_sensor', data['calibrated_sensor_token'])
    pose = nusc.get('ego_pose', data['ego_pose_token'])
    return (
        _transform(sensor, f'calibrated_sensor.json: {sensor["token"]}'),
        _transform(pose, f'ego_pose.json: {pose["token"]}'),
    )


def _transform(record: dict, name: str) -> np.ndarray:
    from pyquaternion import Quaternion

    try:
        rotation = np.asarray(record['rotation'], dtype=np.float64)
        translation = np.asarray(record['translation'], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name}: rotation and translation must be numbers: {error}.') from error
    if rotation.shape != (4,) or abs(np.linalg.norm(rotation) - 1) > 1e-3:
        raise ValueError(f'{name}: rotation must be a unit quaternion w x y z, got {rotation}.')
    if translation.shape != (3,):
        raise ValueError(f'{name}: translation must be 3 numbers, got {translation}.')
    matrix = common.homogeneous(Quaternion(rotation).rotation_matrix)
    matrix[:3, 3] = translation
    return check_rigid(matrix, name)


def _channel(sample: dict, channel: str) -> str:
    if channel not in sample['data']:
        raise ValueError(f'sample_data.json: the sample {sample["token"]} has no {channel}.')
    return sample['data'][channel]


def _name_in(data: dict, channel: str) -> str:
    """File name alone, as mmdet3d's infos have it; its folder is a data prefix of the dataset."""
    path = Path(data['filename'])
    if path.parent != Path('samples') / channel:
        raise ValueError(
            f'sample_data.json: {path} is not in samples/{channel}, where the loaders look.'
        )
    return path.name


def _file(nusc, table: str, row: dict) -> Path:
    """The file of a row of a table; ValueError if it is not in the folder of the data set."""
    source = f'{Path(nusc.table_root) / table}.json'
    return Path(join_inside(str(nusc.dataroot), row['filename'], source=source))


def _label_file(nusc, table: str, lidar_token: str) -> Path:
    try:
        row = nusc.get(table, lidar_token)
    except KeyError as error:
        raise ValueError(
            f'{Path(nusc.table_root) / table}.json has no row of the scan {lidar_token}.'
        ) from error
    return _file(nusc, table, row)


def _masks(nusc, lidar_token: str, num_points: int, check: bool) -> dict:
    masks = {}
    if 'lidarseg' in nusc.table_names:
        path = _label_file(nusc, 'lidarseg', lidar_token)
        common.check_mask(path, num_points, itemsize=1)
        if check:
            common.check_labels(path, num_points, NUSCENES)
        masks['pts_semantic_mask_path'] = path.name
    if 'panoptic' in nusc.table_names:
        path = _label_file(nusc, 'panoptic', lidar_token)
        # Compressed, so that its size says nothing about its length.
        read_label_archive(common.require_file(path), num_points)
        if check:
            common.check_labels(path, num_points, NUSCENES)
        masks['pts_panoptic_mask_path'] = path.name
    return masks


def _instances(nusc, lidar_token: str, global2lidar: np.ndarray) -> list[dict]:
    """Boxes in mmdet3d's form, in the LiDAR frame: centre, length, width, height, yaw."""
    from mmdet3d.datasets import NuScenesDataset
    from mmdet3d.datasets.convert_utils import NuScenesNameMapping

    classes = NuScenesDataset.METAINFO['classes']
    instances = []
    for box in nusc.get_sample_data(lidar_token)[1]:
        annotation = nusc.get('sample_annotation', box.token)
        name = NuScenesNameMapping.get(box.name, box.name)
        label = classes.index(name) if name in classes else -1
        velocity = global2lidar @ nusc.box_velocity(box.token)
        width, length, height = box.wlh
        yaw = np.arctan2(*box.rotation_matrix[1::-1, 0])  # of the box's long axis
        seen = annotation['num_lidar_pts'] + annotation['num_radar_pts'] > 0
        instances.append(
            dict(
                bbox_label=label,
                bbox_3d=[float(x) for x in (*box.center, length, width, height, yaw)],
                bbox_label_3d=label,
                bbox_3d_isvalid=seen,
                velocity=velocity[:2].tolist(),
                num_lidar_pts=annotation['num_lidar_pts'],
                num_radar_pts=annotation['num_radar_pts'],
            )
        )
    return instances


def _boxes_hold_points(nusc, lidar_token: str, points: np.ndarray) -> list[bool]:
    """Whether each box that holds points by its annotation holds one of the scan (N, 5)."""
    from nuscenes.utils.geometry_utils import points_in_box

    return [
        bool(points_in_box(box, points[:, :3].T).any())
        for box in nusc.get_sample_data(lidar_token)[1]
        if nusc.get('sample_annotation', box.token)['num_lidar_pts'] > 0
    ]
