"""Reading of point clouds from the formats in use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

__all__ = ['SCAN_SUFFIXES', 'measured_points', 'read_and_count', 'read_scan']

# Names of the intensity in PCD, PLY and structured arrays, in the order they are looked for.
INTENSITIES = ('intensity', 'scalar_intensity', 'reflectivity', 'reflectance', 'remission', 'i')


def read_scan(path: str | os.PathLike, columns: int | None = None) -> np.ndarray:
    """Read a point cloud.

    Points with a coordinate that is not finite, and points at the origin, are left out: drivers
    write them where nothing was measured. An intensity that is not finite counts as 0.

    Args:
        path: ``.bin`` (rows of float32: KITTI's 4 numbers a point, nuScenes' 5), ``.npy``,
            ``.pcd``, ``.ply``, ``.las`` or ``.laz``.
        columns: float32 numbers a point of a ``.bin`` file, at least 4. By default 5 for
            ``.pcd.bin`` (nuScenes' name), else 4 or 5, whichever the size of the file, the fourth
            column (an intensity, not negative) and the fifth (a small whole number, nuScenes'
            ring) allow.

    Returns:
        (N, 4) float32: x, y, z as stored (metres), intensity as stored (0 where there is none).

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if the package that reads the format is missing, saying which.
        ValueError: if the file is damaged, of another form, or holds no point.
    """
    return read_and_count(path, columns)[0]


def read_and_count(path: str | os.PathLike, columns: int | None = None) -> tuple[np.ndarray, int]:
    """Read a point cloud, and say how many of its points were left out; see :func:`read_scan`."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a folder; the file of a scan was expected.')
    if not path.is_file():
        raise FileNotFoundError(f'The scan {path} does not exist.')
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f'{path} is of no known format; expected {", ".join(SCAN_SUFFIXES)}.')
    if reader is _read_bin:
        points = _read_bin(path, columns)
    else:
        try:
            points = reader(path)
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # readers of damaged files raise whatever comes up
            # Some give a page; the first line says what is wrong.
            reason = (str(error).splitlines() or [repr(error)])[0].rstrip('.:')
            raise ValueError(
                f'{path} is damaged or no {path.suffix[1:].upper()} file: {reason}.'
            ) from error
    rows = np.asarray(points, dtype=np.float32)
    points = measured_points(rows)
    if not len(points):
        raise ValueError(f'{path} holds no point with finite coordinates.')
    return points, len(rows) - len(points)


def measured_points(points: np.ndarray) -> np.ndarray:
    """Points (N, 4) without those that were not measured, see :func:`read_scan`; a copy."""
    measured = np.isfinite(points[:, :3]).all(axis=1) & (points[:, :3] != 0).any(axis=1)
    points = points[measured]
    points[:, 3] = np.nan_to_num(points[:, 3], nan=0.0, posinf=0.0, neginf=0.0)
    return points


def _read_bin(path: Path, columns: int | None) -> np.ndarray:
    if columns is not None and columns < 4:
        raise ValueError(f'columns must be at least 4 (x, y, z, intensity), got {columns}.')
    size = path.stat().st_size
    candidates = [columns] if columns else [5] if path.name.endswith('.pcd.bin') else [5, 4]
    fitting = [c for c in candidates if size and size % (4 * c) == 0]
    if not fitting:
        numbers = ' or '.join(map(str, candidates))
        raise ValueError(
            f'{path} is cut off or of another form: {size} bytes are no rows of {numbers} float32 '
            'numbers.'
        )
    values = np.fromfile(path, dtype=np.float32)
    if fitting == [5, 4]:
        rings = values.reshape(-1, 5)[:, 4]
        whole = (rings >= 0).all() and (rings < 256).all() and (rings == np.floor(rings)).all()
        fitting = [5 if whole else 4]
        if not whole and (values.reshape(-1, 4)[:, 3] < 0).any():
            raise ValueError(
                f'{path} may hold 4 or 5 float32 numbers a point, and neither gives intensities '
                'without negative ones and whole rings; say which (--columns).'
            )
    return values.reshape(-1, fitting[0])[:, :4]


def _read_npy(path: Path) -> np.ndarray:
    with open(path, 'rb') as file:
        if file.read(6) != b'\x93NUMPY':
            raise ValueError("it does not begin as numpy's files do")
    array = np.load(path, allow_pickle=False)
    if array.dtype.names:
        return _columns(array.ravel().__getitem__, array.dtype.names)
    if array.ndim != 2 or array.shape[1] < 3 or array.dtype.kind not in 'fiu':
        raise ValueError(
            f'expected numbers of the shape (N, >= 3), got {array.dtype} {array.shape}.'
        )
    if array.shape[1] == 3:
        array = np.column_stack([array, np.zeros(len(array), array.dtype)])
    return array[:, :4]


def _read_pcd(path: Path) -> np.ndarray:
    pypcd4 = _needed('pypcd4', '.pcd')
    cloud = pypcd4.PointCloud.from_path(path)
    return _columns(lambda name: cloud.numpy((name,))[:, 0], cloud.fields)


def _read_ply(path: Path) -> np.ndarray:
    plyfile = _needed('plyfile', '.ply')
    vertex = plyfile.PlyData.read(str(path))['vertex']
    return _columns(lambda name: vertex[name], (p.name for p in vertex.properties))


def _read_las(path: Path) -> np.ndarray:
    laspy = _needed('laspy', '.las and .laz')
    cloud = laspy.read(path)
    return np.column_stack([cloud.x, cloud.y, cloud.z, cloud.intensity])


def _columns(read: Callable[[str], np.ndarray], fields: Iterable[str]) -> np.ndarray:
    """x, y, z and intensity of named columns, in whatever case the names are."""
    names = {name.lower(): name for name in fields}
    missing = [name for name in 'xyz' if name not in names]
    if missing:
        raise ValueError(f'it has no field {missing[0]!r}, only {sorted(names.values())}.')
    found = [np.asarray(read(names[name]), dtype=np.float64) for name in 'xyz']
    intensity = next((names[name] for name in INTENSITIES if name in names), None)
    found.append(np.zeros(len(found[0])) if intensity is None else read(intensity))
    return np.column_stack(found)


def _needed(package: str, formats: str):
    try:
        return __import__(package)
    except ImportError as error:
        raise ImportError(
            f'Reading {formats} needs {package}; install it with: pip install {package}'
        ) from error


_READERS = {
    '.bin': _read_bin,
    '.npy': _read_npy,
    '.pcd': _read_pcd,
    '.ply': _read_ply,
    '.las': _read_las,
    '.laz': _read_las,
}
SCAN_SUFFIXES = tuple(_READERS)
