"""SemanticPOSS (SemanticKITTI's layout without cameras) to info files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from nclr_mm.datasets.segmentation.label_maps import SEMANTICPOSS

from . import common, sequences

NUM_PTS_FEATS = 4  # x, y, z, intensity
# Sequence 03 is for validation (poss.pku.edu.cn, and every published comparison).
OFFICIAL_SPLITS = {'train': ['00', '01', '02', '04', '05'], 'val': ['03']}
# The Pandora LiDAR's range image: 40 beams, 1800 azimuths, one byte each.
TAG_SHAPE = (40, 1800)


def create_semanticposs_infos(
    root_path: str | Path,
    out_dir: str | Path | None = None,
    splits: dict[str, list[sequences.Part]] | None = None,
    extra_tag: str = 'semanticposs',
    workers: int = 1,
    check: bool = False,
) -> dict[str, Path]:
    """Write ``<extra_tag>_infos_<split>.pkl`` for each split that has sequences on disk.

    Args:
        root_path: holds ``sequences/<nn>/{velodyne,labels}`` and, where they exist, ``tag``: which
            pixels of the range image have a point, in the order of the scan.
        splits: see :func:`nclr_mm.datasets.converters.sequences.chosen_frames`.
        workers: threads that read files.
        check: read every scan and label file fully.

    Returns:
        The path of each info file written, by split.

    Raises:
        FileNotFoundError, ValueError: one sentence naming the file at fault; no file is
            written then.
    """
    root = common.require_directory(Path(root_path), 'expected the root of SemanticPOSS')
    common.check_options(Path(out_dir or root), workers)
    return sequences.write_infos(
        sequences.chosen_frames(root, splits, OFFICIAL_SPLITS),
        partial(_frame_info, root, check),
        Path(out_dir or root),
        extra_tag,
        'semanticposs',
        workers,
    )


def _frame_info(root: Path, check: bool, frame: tuple[str, str]) -> dict:
    name, stem = frame
    folder = root / 'sequences' / name
    scan = folder / 'velodyne' / f'{stem}.bin'
    num_points = common.count_points(scan, NUM_PTS_FEATS)
    if check:
        common.check_points(scan, NUM_PTS_FEATS)
    labels = folder / 'labels' / f'{stem}.label'
    common.check_mask(labels, num_points, itemsize=4)
    if check:
        common.check_labels(labels, num_points, SEMANTICPOSS)
    path = labels.relative_to(root).as_posix()
    info = dict(
        sample_idx=f'{name}_{stem}',
        scene=name,
        lidar_points=dict(
            lidar_path=scan.relative_to(root).as_posix(), num_pts_feats=NUM_PTS_FEATS
        ),
        # One file for both: the class in the lower 16 bits, the instance in the upper.
        pts_semantic_mask_path=path,
        pts_panoptic_mask_path=path,
    )
    tag = folder / 'tag' / f'{stem}.tag'
    if (folder / 'tag').is_dir():
        marks = np.fromfile(common.require_file(tag), dtype=np.uint8)
        if marks.size != TAG_SHAPE[0] * TAG_SHAPE[1]:
            raise ValueError(
                f'{tag} has {marks.size} bytes, expected {TAG_SHAPE[0]} beams of {TAG_SHAPE[1]}.'
            )
        tagged = int(np.count_nonzero(marks))
        if tagged != num_points:
            raise ValueError(f'{tag} marks {tagged} points, but the scan has {num_points}.')
        info['lidar_points']['tag_path'] = tag.relative_to(root).as_posix()
    return info
