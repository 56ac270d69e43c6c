"""SemanticKITTI (KITTI odometry layout, labels optional) to info files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nclr_mm.datasets.checks import check_intrinsics, check_rigid

from . import common

NUM_PTS_FEATS = 4  # x, y, z, intensity
# Folder of each colour camera and its projection in calib.txt.
CAMERAS = {'image_2': 'P2', 'image_3': 'P3'}
# The benchmark's own split, semantic-kitti.org.
OFFICIAL_SPLITS = {
    'train': [f'{i:02d}' for i in range(11) if i != 8],
    'val': ['08'],
    'test': [f'{i:02d}' for i in range(11, 22)],
}

_PART = re.compile(r'(\d+)(?::(\d+)-(\d+))?')


class Part(NamedTuple):
    """Frames ``first`` to ``last``, both included, of a sequence; None is open."""

    sequence: str
    first: int | None = None
    last: int | None = None


def parse_split(text: str) -> tuple[str, list[Part]]:
    """Read ``name=sequence[:first-last][,...]``, such as ``train=00:0-29,01``.

    Raises:
        ValueError: if ``text`` has another form.
    """
    name, _, rest = text.partition('=')
    matches = [_PART.fullmatch(item) for item in rest.split(',')]
    if not name or not all(matches):
        raise ValueError(f'A split reads name=sequence[:first-last][,...], got {text!r}.')
    parts = []
    for sequence, first, last in (match.groups() for match in matches):
        frames = (int(first), int(last)) if first else (None, None)
        parts.append(Part(f'{int(sequence):02d}', *frames))
    return name, parts


def parse_splits(texts: Iterable[str]) -> dict[str, list[Part]]:
    """Read splits as `parse_split` does; the parts of equal names are joined in order."""
    splits: dict[str, list[Part]] = {}
    for name, parts in map(parse_split, texts):
        splits.setdefault(name, []).extend(parts)
    return splits


def create_semantickitti_infos(
    root_path: str | Path,
    out_dir: str | Path | None = None,
    splits: dict[str, list[Part]] | None = None,
    extra_tag: str = 'semantickitti',
    workers: int = 1,
    check: bool = False,
) -> dict[str, Path]:
    """Write ``<extra_tag>_infos_<split>.pkl`` for each split that has sequences on disk.

    Args:
        root_path: holds ``sequences/<nn>/{velodyne,image_2,calib.txt}`` and, where they exist,
            ``image_3``, ``labels``, ``poses.txt``, ``times.txt``.
        splits: parts of each split; None takes those of a ``splits.json`` at the root
            ({split: [sequences]}), or else the official sequences, of which missing ones are left
            out with a notice.
        workers: threads that read files.
        check: read every scan and image fully.

    Returns:
        The path of each info file written, by split.

    Raises:
        FileNotFoundError, ValueError: one sentence naming the file at fault; no file is
            written then.
    """
    root = common.require_directory(Path(root_path), 'expected the root of SemanticKITTI')
    common.check_options(Path(out_dir or root), workers)
    common.require_directory(root / 'sequences', 'expected a folder for each sequence in it')
    chosen = {
        split: [frame for part in parts for frame in _frames(root, part)]
        for split, parts in (splits or _own(root) or _official(root)).items()
    }
    needed = sorted({frame for frames in chosen.values() for frame in frames})
    sequences = {name: _Sequence(root, name) for name in sorted({s for s, _ in needed})}
    entries = common.map_with_progress(
        partial(_frame_info, root, sequences, check), needed, workers
    )
    infos = dict(zip(needed, entries, strict=True))
    written = {}
    for split, frames in chosen.items():
        path = Path(out_dir or root) / f'{extra_tag}_infos_{split}.pkl'
        data_list = [infos[frame] for frame in frames]
        written[split] = common.write_infos(path, dict(dataset='semantickitti'), data_list)
    return written


def _own(root: Path) -> dict[str, list[Part]] | None:
    present = {path.name for path in (root / 'sequences').iterdir()}
    splits = common.own_splits(root, present)
    return splits and {split: [Part(s) for s in names] for split, names in splits.items() if names}


def _official(root: Path) -> dict[str, list[Part]]:
    splits = {}
    for split, sequences in OFFICIAL_SPLITS.items():
        present = [s for s in sequences if (root / 'sequences' / s).is_dir()]
        missing = [s for s in sequences if s not in present]
        if missing:
            print(f'{split}: left out for want of {root}/sequences: {", ".join(missing)}')
        if present:
            splits[split] = [Part(s) for s in present]
    if not splits:
        raise FileNotFoundError(f'{root / "sequences"} holds none of the sequences 00 to 21.')
    return splits


def _frames(root: Path, part: Part) -> list[tuple[str, str]]:
    """(sequence, stem) of the frames of a part, in order."""
    velodyne = root / 'sequences' / part.sequence / 'velodyne'
    common.require_directory(velodyne, 'expected the scans of this sequence')
    stems = sorted(path.stem for path in velodyne.glob('*.bin'))
    strange = [stem for stem in stems if not stem.isdecimal()]
    if strange:
        raise ValueError(
            f'{velodyne / strange[0]}.bin is no scan of the layout, named by numbers as '
            '000000.bin: move it away.'
        )
    if part.first is not None:
        stems = [stem for stem in stems if part.first <= int(stem) <= part.last]
        expected = part.last - part.first + 1
        if len(stems) != expected:
            raise ValueError(
                f'{velodyne} has {len(stems)} scans from {part.first} to {part.last}, '
                f'expected {expected}.'
            )
    if not stems:
        raise ValueError(f'{velodyne} has no scan.')
    return [(part.sequence, stem) for stem in stems]


class _Sequence:
    """What the frames of one sequence share: cameras, poses, times."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder = root / 'sequences' / name
        path = self.folder / 'calib.txt'
        values = common.read_calibration(path)
        lidar2cam0 = check_rigid(
            common.homogeneous(common.calibration_matrix(values, 'Tr', (3, 4), path)),
            f'{path}: Tr',
        )
        common.require_directory(
            self.folder / 'image_2', 'expected the colour images of the odometry benchmark'
        )
        self.cameras = {}
        for camera, field in CAMERAS.items():
            if (self.folder / camera).is_dir():
                projection = common.calibration_matrix(values, field, (3, 4), path)
                check_intrinsics(projection[:, :3], f'{path}: the left 3x3 of {field}')
                cam2img, shift = common.fold_projection(projection)
                self.cameras[camera] = (cam2img, shift @ lidar2cam0)
        self.labelled = (self.folder / 'labels').is_dir()
        self.poses = None
        if (self.folder / 'poses.txt').exists():
            # Poses are those of camera 0 in its first frame; a user wants the LiDAR's.
            rows = _table(self.folder / 'poses.txt', 12).reshape(-1, 3, 4)
            poses = np.stack([common.homogeneous(row) for row in rows])
            check_rigid(poses, f'{self.folder / "poses.txt"}')
            self.poses = np.linalg.inv(lidar2cam0) @ poses @ lidar2cam0
        self.times = None
        if (self.folder / 'times.txt').exists():
            self.times = _table(self.folder / 'times.txt', 1)[:, 0]

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
    root: Path, sequences: dict[str, _Sequence], check: bool, frame: tuple[str, str]
) -> dict:
    name, stem = frame
    sequence = sequences[name]
    scan = sequence.folder / 'velodyne' / f'{stem}.bin'
    num_points = common.count_points(scan, NUM_PTS_FEATS)
    if check:
        common.check_points(scan, NUM_PTS_FEATS)
    info = dict(
        sample_idx=f'{name}_{stem}',
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
        # One file for both: the class in the lower 16 bits, the instance in the upper.
        info['pts_semantic_mask_path'] = labels.relative_to(root).as_posix()
        info['pts_panoptic_mask_path'] = info['pts_semantic_mask_path']
    if sequence.times is not None:
        info['timestamp'] = float(sequence.at(sequence.times, 'times.txt', int(stem)))
    if sequence.poses is not None:
        info['lidar2global'] = sequence.at(sequence.poses, 'poses.txt', int(stem)).tolist()
    return info
