"""What KITTI detectors need beside the info files: reduced clouds and the ground-truth database."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np

from nclr_mm.datasets.checks import as_numbers
from nclr_mm.datasets.infos import join_inside, read_infos
from nclr_mm.datasets.kitti import KITTI_COMMAND
from nclr_mm.writing import write_whole

from . import common

NUM_PTS_FEATS = 4  # x, y, z, intensity


def create_reduced_clouds(
    root_path: str | Path,
    infos: dict[str, Path],
    out_dir: str | Path | None = None,
    workers: int = 1,
) -> int:
    """Write the points of each scan that camera 2 sees, at most 100 m away.

    Detectors on KITTI train and predict on these, for labels exist in the camera's view alone. They
    go to ``training/velodyne_reduced`` and ``testing/velodyne_reduced``.

    Args:
        root_path: root of KITTI object detection.
        infos: info file of each split, of :func:`create_kitti_infos`.
        out_dir: where these folders go; by default the root.
        workers: threads.

    Returns:
        Number of clouds written.

    Raises:
        FileNotFoundError: if a scan is missing.
        ValueError: if the path of a scan leads out of its folder.
    """
    root, out = Path(root_path), Path(out_dir or root_path)
    frames = {}
    for split, path in infos.items():
        half = 'testing' if split == 'test' else 'training'
        for info in read_infos(str(path), KITTI_COMMAND)['data_list']:
            name = info['lidar_points']['lidar_path']
            source = join_inside(str(root / half / 'velodyne'), name, source=str(path))
            frames[Path(source)] = (out / half / 'velodyne_reduced' / name, info)
    for folder in {target.parent for target, _ in frames.values()}:
        folder.mkdir(parents=True, exist_ok=True)
    common.map_with_progress(_write_reduced, list(frames.items()), workers)
    print(f'{out}: {len(frames)} reduced clouds')
    return len(frames)


def _write_reduced(frame: tuple[Path, tuple[Path, dict]]) -> None:
    from mmdet3d.structures.ops import box_np_ops

    source, (target, info) = frame
    camera = info['images']['CAM2']
    seen = box_np_ops.remove_outside_points(
        _read_points(source),
        np.eye(4),
        as_numbers(camera['lidar2cam']),
        as_numbers(camera['cam2img']),
        (camera['height'], camera['width']),
    )
    write_whole(target, seen.tobytes())


def _read_points(path: Path, may_be_empty: bool = False) -> np.ndarray:
    if not may_be_empty or common.require_file(path).stat().st_size:
        common.count_points(path, NUM_PTS_FEATS)
    return common.read_points(path, NUM_PTS_FEATS)


def create_gt_database(
    info_path: str | Path, out_dir: str | Path, extra_tag: str = 'kitti', workers: int = 1
) -> Path:
    """Cut the labelled objects out of the training scans, for mmdet3d's ``ObjectSample``.

    Writes ``<extra_tag>_gt_database/<frame>_<class>_<index>.bin``, points relative to the middle
    of the box's bottom, and ``<extra_tag>_dbinfos_train.pkl``, a list of objects for each class of
    mmdet3d's KittiDataset, an empty one for a class without objects. Classes that it does not know
    and boxes without volume are left out.

    Args:
        info_path: info file of the training frames.
        out_dir: where the database goes; holds the reduced clouds.
        extra_tag: start of its names.
        workers: threads.

    Returns:
        Path of the file of the objects.

    Raises:
        FileNotFoundError: if a reduced cloud is missing.
        ValueError: if the path of a scan leads out of its folder, or a frame or class cannot name a
            file.
    """
    content = read_infos(str(info_path), KITTI_COMMAND)
    out = Path(out_dir)
    folder = out / f'{extra_tag}_gt_database'
    unfinished = out / f'.{extra_tag}_gt_database.tmp'
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    names = {i: name for name, i in content['metainfo']['categories'].items() if i >= 0}
    try:
        frames = common.map_with_progress(
            partial(_cut_objects, info_path, out, unfinished, names), content['data_list'], workers
        )
        objects: dict[str, list[dict]] = {name: [] for name in names.values()}
        for group, found in enumerate(o for frame in frames for o in frame):
            found.update(path=f'{folder.name}/{found["path"]}', group_id=group)
            objects[found['name']].append(found)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    path = out / f'{extra_tag}_dbinfos_train.pkl'
    common.write_pickle(path, objects)
    print(f'{path}: ' + ', '.join(f'{len(o)} {name}' for name, o in objects.items() if o))
    return path


def _cut_objects(
    info_path: str | Path, root: Path, folder: Path, names: dict[int, str], info: dict
) -> list[dict]:
    from mmdet3d.structures import Box3DMode, CameraInstance3DBoxes

    instances = [
        instance
        for instance in info['instances']
        if instance['bbox_label_3d'] in names and min(instance['bbox_3d'][3:6]) > 0
    ]
    if not instances:
        return []
    # May be empty: nothing of the scan lies in the image.
    clouds = str(root / 'training/velodyne_reduced')
    reduced = join_inside(clouds, info['lidar_points']['lidar_path'], source=str(info_path))
    points = _read_points(Path(reduced), may_be_empty=True)
    cam2lidar = np.linalg.inv(as_numbers(info['images']['CAM2']['lidar2cam']))
    boxes = CameraInstance3DBoxes(
        as_numbers([instance['bbox_3d'] for instance in instances]).astype(np.float32)
    ).convert_to(Box3DMode.LIDAR, cam2lidar)
    inside = _points_in_boxes(points, boxes)
    objects = []
    for i, instance in enumerate(instances):
        box = boxes.tensor[i].numpy()
        name = names[instance['bbox_label_3d']]
        own = points[inside[:, i]]
        own[:, :3] -= box[:3]
        stem = f'{info["sample_idx"]}_{name}_{i}'
        if not re.fullmatch(r'[\w-]+', stem):
            raise ValueError(
                f'{info_path}: the frame {info["sample_idx"]!r} and its class {name!r} cannot name '
                'a file of the database; letters, digits, _ and - can.'
            )
        file = folder / f'{stem}.bin'
        write_whole(file, own.tobytes())
        objects.append(
            dict(
                name=name,
                path=file.name,
                image_idx=info['sample_idx'],
                gt_idx=i,
                box3d_lidar=box,
                num_points_in_gt=len(own),
                difficulty=instance['difficulty'],
                score=instance['score'],
            )
        )
    return objects


def _points_in_boxes(points: np.ndarray, boxes) -> np.ndarray:
    import torch
    from mmcv.ops import points_in_boxes_cpu

    xyz = torch.from_numpy(points[:, :3]).contiguous()
    return points_in_boxes_cpu(xyz[None], boxes.tensor[None, :, :7])[0].bool().numpy()
