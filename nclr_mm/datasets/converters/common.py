"""What all converters share: checked reading, checked matrices, safe writing."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from nclr_mm.datasets import checks
from nclr_mm.datasets.scans import frame_fault, layout_fault
from nclr_mm.datasets.segmentation.label_maps import LabelMap, map_labels
from nclr_mm.datasets.transforms.labels import read_labels
from nclr_mm.writing import write_whole

INFO_VERSION = '1.1'


def require_file(path: Path) -> Path:
    """Return ``path``, or raise FileNotFoundError naming it."""
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing.')
    return path


def read_text(path: Path) -> str:
    """Content of a text file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not UTF-8.
    """
    try:
        return require_file(path).read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not UTF-8 text: {error}.') from error


def check_options(out_dir: Path, workers: int) -> None:
    """Raise ValueError if info files cannot go to ``out_dir``, or ``workers`` are too few."""
    if workers < 1:
        raise ValueError(f'--workers must be at least 1, got {workers}.')
    for path in (out_dir, *out_dir.parents):
        if path.exists():
            if not path.is_dir():
                raise ValueError(f'The folder {out_dir} cannot be made: {path} is a file.')
            return


def require_directory(path: Path, hint: str) -> Path:
    """Return ``path``, or raise FileNotFoundError naming it and saying what it should hold."""
    if not path.is_dir():
        raise FileNotFoundError(f'{path} is missing: {hint}.')
    return path


def count_points(path: Path, num_feats: int) -> int:
    """Number of float32 rows in a scan, from its size.

    A few thousand points, spread over the scan, are read to see that they are such rows.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the size is zero or not a whole number of rows, or the values show another
            layout, see :func:`nclr_mm.datasets.scans.layout_fault`.
    """
    size = require_file(path).stat().st_size
    row = 4 * num_feats
    if size == 0 or size % row:
        raise ValueError(
            f'{path} is truncated: {size} bytes are not a positive multiple of {row} '
            f'({num_feats} float32 a point).'
        )
    points = np.memmap(path, np.float32, 'r').reshape(-1, num_feats)
    # Blocks of a multiple of 840 points, so that every n-th point stays one, n from 2 to 8.
    starts = range(0, len(points), max(840, len(points) // 6720 * 840))
    _check_layout(np.concatenate([points[i : i + 840] for i in starts]), path)
    return len(points)


def read_points(path: Path, num_feats: int) -> np.ndarray:
    """All points (N, num_feats) of a scan; ValueError if they show another layout."""
    points = np.fromfile(path, dtype=np.float32).reshape(-1, num_feats)
    _check_layout(points, path)
    return points


def _check_layout(points: np.ndarray, path: Path) -> None:
    fault = layout_fault(points, least=0)
    if fault:
        raise ValueError(
            f'{path} does not hold {points.shape[1]} float32 numbers a point (x, y, z, intensity, '
            f'...): {fault}; convert it to these.'
        )
    if fault := frame_fault(points):
        raise ValueError(f'{path}: {fault}.')


def check_points(path: Path, num_feats: int) -> np.ndarray:
    """All points (N, num_feats); ValueError if a value is not finite or the layout is another."""
    points = read_points(path, num_feats)
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise ValueError(f'{path}: {int(bad.sum())} of {len(points)} points are not finite.')
    return points


def report_empty_boxes(labels: str, held: list[bool]) -> None:
    """Print a notice if fewer than half of the boxes hold a point of their scan.

    In a wrong frame, too, some boxes hold a point by chance: with x and y exchanged 15 to 41 % of
    those of real frames, and without a fault all of them.

    Args:
        labels: the file or folder that has the boxes.
        held: whether each box holds a point.
    """
    if 2 * sum(held) < len(held):
        print(
            f'{labels}: only {sum(held)} of the {len(held)} boxes hold a point of their scan, so '
            'the scans are probably of another layout, or in another frame than the calibration '
            'and the boxes.'
        )


def check_mask(path: Path, num_points: int, itemsize: int) -> None:
    """Raise unless ``path`` holds one label of ``itemsize`` bytes for each point."""
    size = require_file(path).stat().st_size
    if size != num_points * itemsize:
        raise ValueError(
            f'{path} has {size} bytes, but the scan has {num_points} points, '
            f'{itemsize} bytes a label: expected {num_points * itemsize}.'
        )


def check_labels(path: Path, num_points: int, labels: LabelMap) -> None:
    """Read a label file fully; ValueError naming it for another number or unknown labels."""
    raw, _ = read_labels(str(path), num_points)
    map_labels(raw, labels.table, str(path))


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image from its header alone.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no readable image, or too large a one.
    """
    return checks.image_size(require_file(path))


def check_image(path: Path) -> None:
    """Decode an image fully; raise ValueError naming it if that fails.

    OpenCV fills what a cut file lacks with grey and only warns, so Pillow, which refuses
    cut files, decodes it too.
    """
    checks.read_image(path)
    try:
        with Image.open(path) as image:
            image.load()
    except OSError as error:
        raise ValueError(f'{path} is damaged or cut short: {error}.') from error


def read_calibration(path: Path) -> dict[str, np.ndarray]:
    """Read a KITTI calibration file: lines of ``name: numbers``.

    Returns:
        The numbers of each line as a flat float64 array. Lines that hold no numbers, such as
        the date of KITTI raw files, are left out.
    """
    values = {}
    for line in read_text(path).splitlines():
        name, _, text = line.partition(':')
        try:
            values[name.strip()] = np.array([float(x) for x in text.split()])
        except ValueError:
            continue
    return values


def calibration_matrix(
    values: dict[str, np.ndarray], name: str, shape: tuple[int, int], path: Path
) -> np.ndarray:
    """Matrix ``name`` of a calibration file, in ``shape``; ValueError naming file and field."""
    if name not in values:
        raise ValueError(f'{path} has no {name}; it has {sorted(values)}.')
    if values[name].size != shape[0] * shape[1]:
        raise ValueError(
            f'{path}: {name} has {values[name].size} numbers, expected {shape[0]}x{shape[1]}.'
        )
    if not np.isfinite(values[name]).all():
        raise ValueError(f'{path}: {name} holds numbers that are not finite.')
    return values[name].reshape(shape)


def homogeneous(matrix: np.ndarray) -> np.ndarray:
    """Complete a 3x3 or 3x4 matrix to 4x4 with the last row (0, 0, 0, 1)."""
    out = np.eye(4)
    out[: matrix.shape[0], : matrix.shape[1]] = matrix
    return out


def fold_projection(projection: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split a KITTI projection P = K [I | K^-1 p4] into camera matrix and rigid shift.

    Args:
        projection: (3, 4), pixels from rectified coordinates of camera 0.

    Returns:
        K (3, 3), and the 4x4 motion from camera 0 to this camera, a translation by K^-1 p4.
    """
    cam2img = projection[:, :3]
    shift = np.eye(4)
    shift[:3, 3] = np.linalg.solve(cam2img, projection[:, 3])
    return cam2img, shift


def write_pickle(path: Path, content: object) -> None:
    """Pickle to a file; the old file stays until the new is whole."""
    write_whole(path, pickle.dumps(content, protocol=4))


def write_infos(path: Path, metainfo: dict, data_list: list[dict]) -> Path:
    """Write an info file of mmdet3d's second form; the old file stays until the new is whole."""
    metainfo = dict(info_version=INFO_VERSION, **metainfo)
    write_pickle(path, dict(metainfo=metainfo, data_list=data_list))
    print(f'{path}: {len(data_list)} samples')
    return path


def map_with_progress(function: Callable[[Any], Any], items: Iterable, workers: int) -> list:
    """``[function(x) for x in items]`` in ``workers`` threads, with a progress bar.

    Threads suffice: the time goes into reading and decoding files, which free the lock. The
    first error stops the work.
    """
    items = list(items)
    with ThreadPoolExecutor(workers) as pool:
        try:
            # disable=None: no bar where the output is not a terminal
            return list(tqdm(pool.map(function, items), total=len(items), disable=None))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def read_json(path: Path) -> object:
    """Read a JSON file; the error of a broken one names it."""
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f'{path} is not valid JSON: {error}.') from error


def own_splits(root: Path, present: set[str]) -> dict[str, list[str]] | None:
    """Splits that a data set brings along in ``splits.json``, {split: [names]}; None without.

    Args:
        root: folder of the data set.
        present: names of the scenes or sequences that it holds.

    Raises:
        ValueError: if the file has another form, names nothing, or names what is not present.
    """
    path = root / 'splits.json'
    if not path.exists():
        return None
    splits = read_json(path)
    if not isinstance(splits, dict) or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in splits.values()
    ):
        raise ValueError(f'{path} must map each split to a list of names, each a string.')
    if not any(splits.values()):
        raise ValueError(f'{path} names nothing: each of its splits is empty.')
    unknown = sorted({name for names in splits.values() for name in names} - present)
    if unknown:
        raise ValueError(f'{path} names {unknown[0]}, which is not in {root}.')
    return splits
