"""SemanticKITTI (KITTI odometry layout, labels optional) to info files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from nclr_mm.datasets.checks import check_intrinsics, check_rigid
from nclr_mm.datasets.segmentation.label_maps import SEMANTICKITTI

from . import common, sequences

NUM_PTS_FEATS = 4  # x, y, z, intensity
# Folder of each colour camera and its projection in calib.txt.
CAMERAS = {'image_2': 'P2', 'image_3': 'P3'}
# The benchmark's own split, semantic-kitti.org.
OFFICIAL_SPLITS = {
    'train': [f'{i:02d}' for i in range(11) if i != 8],
    'val': ['08'],
    'test': [f'{i:02d}' for i in range(11, 22)],
}


def create_semantickitti_infos(
    root_path: str | Path,
    out_dir: str | Path | None = None,
    splits: dict[str, list[sequences.Part]] | None = None,
    extra_tag: str = 'semantickitti',
    workers: int = 1,
    check: bool = False,
) -> dict[str, Path]:
    """Write ``<extra_tag>_infos_<split>.pkl`` for each split that has sequences on disk.

    Args:
        root_path: holds ``sequences/<nn>/{velodyne,image_2,calib.txt}`` and, where they exist,
            ``image_3``, ``labels``, ``poses.txt``, ``times.txt``. A sequence without ``image_2``
            gets no cameras: it serves segmentation, and a notice says so.
        splits: parts of each split; None takes those of a ``splits.json`` at the root
            ({split: [sequences]}), or else the official sequences, of which missing ones are left
            out with a notice.
        workers: threads that read files.
        check: read every scan, image and label file fully.

    Returns:
        The path of each info file written, by split.

    Raises:
        FileNotFoundError, ValueError: one sentence naming the file at fault; no file is
            written then.
    """
    root = common.require_directory(Path(root_path), 'expected the root of SemanticKITTI')
    common.check_options(Path(out_dir or root), workers)
    chosen = sequences.chosen_frames(root, splits, OFFICIAL_SPLITS)
    names = sorted({name for frames in chosen.values() for name, _ in frames})
    drives = {name: _Sequence(root, name) for name in names}
    return sequences.write_infos(
        chosen,
        partial(_frame_info, root, drives, check),
        Path(out_dir or root),
        extra_tag,
        'semantickitti',
        workers,
    )


class _Sequence:
    """What the frames of one sequence share: cameras, poses, times."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder = root / 'sequences' / name
        self.labelled = (self.folder / 'labels').is_dir()
        self.times = None
        if (self.folder / 'times.txt').exists():
            self.times = _table(self.folder / 'times.txt', 1)[:, 0]
        self.cameras, self.poses = {}, None
        if (self.folder / 'image_2').is_dir():
            self._read_calibration()
        else:
            print(
                f'{self.folder} has no image_2, the colour images of the odometry benchmark: its '
                'scans serve segmentation, not pretraining.'
            )

    def _read_calibration(self) -> None:
        path = self.folder / 'calib.txt'
        values = common.read_calibration(path)
        lidar2cam0 = check_rigid(
            common.homogeneous(common.calibration_matrix(values, 'Tr', (3, 4), path)),
            f'{path}: Tr',
        )
        for camera, field in CAMERAS.items():
            if (self.folder / camera).is_dir():
                projection = common.calibration_matrix(values, field, (3, 4), path)
                check_intrinsics(projection[:, :3], f'{path}: the left 3x3 of {field}')
                cam2img, shift = common.fold_projection(projection)
                self.cameras[camera] = (cam2img, shift @ lidar2cam0)
        if (self.folder / 'poses.txt').exists():
            # Poses are those of camera 0 in its first frame; a user wants the LiDAR's.
            rows = _table(self.folder / 'poses.txt', 12).reshape(-1, 3, 4)
            poses = np.stack([common.homogeneous(row) for row in rows])
            check_rigid(poses, f'{self.folder / "poses.txt"}')
            self.poses = np.linalg.inv(lidar2cam0) @ poses @ lidar2cam0

    def at(self, values: np.ndarray, file: str, frame: int) -> np.ndarray:
        if frame >= len(values):
            raise ValueError(
                f'{self.folder / file} has {len(values)} lines, none for the frame {frame}.'
            )
        return values[frame]


def _table(path: Path, columns: int) -> np.ndarray:
    lines = common.read_text(path).splitlines()
    try:
        table = np.array([line.split() for line in lines if line.strip()]).astype(np.float64)
    except ValueError as error:
        raise ValueError(f'{path} is not a table of {columns} numbers a line.') from error
    if table.ndim != 2 or table.shape[1] != columns:
        raise ValueError(f'{path} must have {columns} numbers a line.')
    return table


def _frame_info(
    root: Path, drives: dict[str, _Sequence], check: bool, frame: tuple[str, str]
) -> dict:
    name, stem = frame
    sequence = drives[name]
    scan = sequence.folder / 'velodyne' / f'{stem}.bin'
    num_points = common.count_points(scan, NUM_PTS_FEATS)
    if check:
        common.check_points(scan, NUM_PTS_FEATS)
    info = dict(
        sample_idx=f'{name}_{stem}',
        scene=name,
        lidar_points=dict(
            lidar_path=scan.relative_to(root).as_posix(), num_pts_feats=NUM_PTS_FEATS
        ),
        images={},
    )
    for camera, (cam2img, lidar2cam) in sequence.cameras.items():
        path = sequence.folder / camera / f'{stem}.png'
        height, width = common.image_size(path)
        if check:
            common.check_image(path)
        info['images'][camera] = dict(
            img_path=path.relative_to(root).as_posix(),
            cam2img=cam2img.tolist(),
            lidar2cam=lidar2cam.tolist(),
            height=height,
            width=width,
        )
    if sequence.labelled:
        labels = sequence.folder / 'labels' / f'{stem}.label'
        common.check_mask(labels, num_points, itemsize=4)
        if check:
            common.check_labels(labels, num_points, SEMANTICKITTI)
        # One file for both: the class in the lower 16 bits, the instance in the upper.
        info['pts_semantic_mask_path'] = labels.relative_to(root).as_posix()
        info['pts_panoptic_mask_path'] = info['pts_semantic_mask_path']
    if sequence.times is not None:
        info['timestamp'] = float(sequence.at(sequence.times, 'times.txt', int(stem)))
    if sequence.poses is not None:
        info['lidar2global'] = sequence.at(sequence.poses, 'poses.txt', int(stem)).tolist()
    return info
