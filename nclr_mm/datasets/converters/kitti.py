"""KITTI object detection to info files."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from nclr_mm.datasets.checks import check_intrinsics, check_rigid

from . import common

NUM_PTS_FEATS = 4  # x, y, z, intensity
SPLITS = ('train', 'val', 'trainval', 'test')
# Folder of each colour camera and its projection in the calibration file.
CAMERAS = {'image_2': 'P2', 'image_3': 'P3'}
# Limits of easy, moderate and hard (0, 1, 2), from the benchmark's page: height of the 2D box in
# pixels at least, occlusion at most, truncation at most.
DIFFICULTIES = ((40, 0, 0.15), (25, 1, 0.3), (25, 2, 0.5))


def create_kitti_infos(
    root_path: str | Path,
    out_dir: str | Path | None = None,
    extra_tag: str = 'kitti',
    workers: int = 1,
    check: bool = False,
) -> dict[str, Path]:
    """Write ``<extra_tag>_infos_<split>.pkl`` for each split listed in ``ImageSets``.

    Each entry of ``images`` named after a folder (``image_2``, ``image_3``) follows the contract:
    ``cam2img`` is 3x3 and all else is in the rigid ``lidar2cam``. The entry ``CAM2`` repeats
    camera 2 as mmdet3d's KittiDataset wants it, ``cam2img`` = P2 (4x4) and ``lidar2cam`` =
    R0_rect Tr_velo_to_cam, because its boxes are given in the frame of camera 0. The product
    ``cam2img lidar2cam`` is the same.

    Args:
        root_path: holds ``ImageSets`` and ``training``, ``testing`` with ``velodyne``,
            ``image_2``, ``calib`` and, in training, ``label_2``.
        workers: threads that read files.
        check: read every scan and image fully.

    Returns:
        The path of each info file written, by split.

    Raises:
        FileNotFoundError, ValueError: one sentence naming the file at fault; no file is
            written then.
    """
    root = common.require_directory(Path(root_path), 'expected the root of KITTI object detection')
    common.check_options(Path(out_dir or root), workers)
    image_sets = common.require_directory(root / 'ImageSets', 'expected train.txt and so on')
    frames = {}
    for split in SPLITS:
        path = image_sets / f'{split}.txt'
        stems = common.read_text(path).split() if path.exists() else []
        if not stems:
            print(f'{split}: {path} is missing or empty, left out')
            continue
        odd = [stem for stem in stems if not re.fullmatch('[0-9]{1,18}', stem)]
        if odd:
            raise ValueError(f'{path} must list frames by their numbers, got {odd[0][:50]!r}.')
        number, times = Counter(map(int, stems)).most_common(1)[0]
        if times > 1:
            names = ' and '.join(dict.fromkeys(stem for stem in stems if int(stem) == number))
            raise ValueError(f'{path} lists the frame {names} more than once.')
        folder = root / ('testing' if split == 'test' else 'training')
        frames[split] = [(folder, stem) for stem in stems]
    if not frames:
        raise FileNotFoundError(f'{image_sets} lists no frame in any of {", ".join(SPLITS)}.txt.')
    needed = sorted({frame for chosen in frames.values() for frame in chosen})
    entries = common.map_with_progress(partial(_frame_info, check), needed, workers)
    unknown: Counter = Counter()
    for entry in entries:
        unknown.update(entry.pop('unknown', ()))
    if unknown:
        named = ', '.join(f'{number} {name}' for name, number in unknown.items())
        print(f'label_2: of classes that KittiDataset does not know, so DontCare: {named}')
    held = [
        instance['num_lidar_pts'] > 0
        for entry in entries
        for instance in entry.get('instances', ())
        if instance['index'] >= 0
    ]
    common.report_empty_boxes('label_2', held)
    infos = dict(zip(needed, entries, strict=True))
    metainfo = dict(dataset='kitti', categories={c: i for i, c in enumerate(_classes())})
    metainfo['categories']['DontCare'] = -1
    return {
        split: common.write_infos(
            Path(out_dir or root) / f'{extra_tag}_infos_{split}.pkl',
            metainfo,
            [infos[frame] for frame in chosen],
        )
        for split, chosen in frames.items()
    }


def _classes() -> tuple[str, ...]:
    from mmdet3d.datasets import KittiDataset

    return KittiDataset.METAINFO['classes']


def _frame_info(check: bool, frame: tuple[Path, str]) -> dict:
    folder, stem = frame
    scan = folder / 'velodyne' / f'{stem}.bin'
    common.count_points(scan, NUM_PTS_FEATS)
    if check:
        common.check_points(scan, NUM_PTS_FEATS)

    path = folder / 'calib' / f'{stem}.txt'
    values = common.read_calibration(path)
    lidar2rect = check_rigid(
        common.homogeneous(common.calibration_matrix(values, 'R0_rect', (3, 3), path))
        @ common.homogeneous(common.calibration_matrix(values, 'Tr_velo_to_cam', (3, 4), path)),
        f'{path}: R0_rect Tr_velo_to_cam',
    )
    images = {}
    for camera, field in CAMERAS.items():
        image = folder / camera / f'{stem}.png'
        if camera != 'image_2' and not image.parent.is_dir():
            continue
        projection = common.calibration_matrix(values, field, (3, 4), path)
        check_intrinsics(projection[:, :3], f'{path}: the left 3x3 of {field}')
        cam2img, shift = common.fold_projection(projection)
        height, width = common.image_size(image)
        if check:
            common.check_image(image)
        images[camera] = dict(
            img_path=image.name,
            cam2img=cam2img.tolist(),
            lidar2cam=(shift @ lidar2rect).tolist(),
            height=height,
            width=width,
        )
        if camera == 'image_2':
            p2 = common.homogeneous(projection)
            images['CAM2'] = dict(
                images[camera],
                cam2img=p2.tolist(),
                lidar2cam=lidar2rect.tolist(),
                lidar2img=(p2 @ lidar2rect).tolist(),
            )
    info = dict(
        sample_idx=int(stem),
        lidar_points=dict(lidar_path=scan.name, num_pts_feats=NUM_PTS_FEATS),
        images=images,
    )
    if folder.name == 'training':
        labels = _instances(folder / 'label_2' / f'{stem}.txt', p2, lidar2rect, scan)
        info['instances'], info['unknown'] = labels
    return info


def _instances(
    path: Path, p2: np.ndarray, lidar2rect: np.ndarray, scan: Path
) -> tuple[list[dict], Counter]:
    """Boxes in mmdet3d's form: bottom centre, length, height, width, yaw in camera 0.

    The label is -1, DontCare, of classes that mmdet3d's KittiDataset does not know and of boxes
    without volume. Also returned is how many objects of which unknown class there are.
    """
    rows = [line.split() for line in common.read_text(path).splitlines()]
    rows = [row for row in rows if row]
    try:
        numbers = np.array([row[1:15] for row in rows], dtype=np.float64).reshape(-1, 14)
    except ValueError as error:
        raise ValueError(f'{path} must have a name and 14 numbers a line.') from error
    if not np.isfinite(numbers).all():
        raise ValueError(f'{path} must have a name and 14 numbers a line, none NaN or infinite.')
    classes = _classes()
    known = [row[0] != 'DontCare' for row in rows]
    boxes = numbers[:, [10, 11, 12, 9, 7, 8, 13]]
    inside = np.full(len(rows), -1)
    inside[known] = _points_inside(boxes[known], lidar2rect, scan)
    instances = []
    index = 0
    for i, (row, values) in enumerate(zip(rows, numbers, strict=True)):
        label = classes.index(row[0]) if row[0] in classes else -1
        if label >= 0 and values[7:10].min() <= 0:
            # Its logarithm would make the losses infinite.
            print(f'{path}: a {row[0]} without volume (object {i}) counts as DontCare')
            label = -1
        centre = boxes[i, :3] - (0, boxes[i, 4] / 2, 0)  # y points down: up by half the height
        projected = p2[:3, :3] @ centre + p2[:3, 3]
        instances.append(
            dict(
                bbox=values[3:7].tolist(),
                bbox_label=label,
                bbox_3d=boxes[i].tolist(),
                bbox_label_3d=label,
                center_2d=(projected[:2] / projected[2]).tolist(),
                depth=float(projected[2]),
                truncated=float(values[0]),
                occluded=int(values[1]),
                alpha=float(values[2]),
                score=0.0,
                index=index if known[i] else -1,
                group_id=i,
                difficulty=_difficulty(values),
                num_lidar_pts=int(inside[i]),
            )
        )
        index += known[i]
    names = [row[0] for row, labelled in zip(rows, known, strict=True) if labelled]
    return instances, Counter(name for name in names if name not in classes)


def _points_inside(boxes: np.ndarray, lidar2rect: np.ndarray, scan: Path) -> np.ndarray:
    """Number of points in each box (N, 7) of camera 0's frame."""
    points = common.read_points(scan, NUM_PTS_FEATS)[:, :3]
    points = points @ lidar2rect[:3, :3].T + lidar2rect[:3, 3]
    counts = np.zeros(len(boxes), dtype=int)
    for i, (x, y, z, length, height, width, yaw) in enumerate(boxes):
        offset = points - (x, y - height / 2, z)
        cos, sin = np.cos(yaw), np.sin(yaw)
        along = cos * offset[:, 0] - sin * offset[:, 2]
        across = sin * offset[:, 0] + cos * offset[:, 2]
        counts[i] = (
            (np.abs(along) <= length / 2)
            & (np.abs(across) <= width / 2)
            & (np.abs(offset[:, 1]) <= height / 2)
        ).sum()
    return counts


def _difficulty(values: np.ndarray) -> int:
    truncated, occluded, height = values[0], values[1], values[6] - values[4]
    for level, (min_height, max_occluded, max_truncated) in enumerate(DIFFICULTIES):
        if height > min_height and occluded <= max_occluded and truncated <= max_truncated:
            return level
    return -1
