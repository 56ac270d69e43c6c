"""Reading of point clouds from the formats in use."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from .checks import read_npy_header

__all__ = ['SCAN_SUFFIXES', 'measured_points', 'read_and_count', 'read_floats', 'read_scan']

# Bytes of the points of a scan, unpacked if it is compressed: 32 million points of 32 bytes. A turn
# of a LiDAR has up to a million.
MAX_UNPACKED = 2**30

# LZF, the compression of PCD, makes of 3 bytes at most 264.
_LZF_RATIO = 88

# Of a point of PCD; the longest of PCL's descriptors have 1344.
_MAX_VALUES = 2**16

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
        ValueError: if the file is damaged, of another form, holds no point, or needs more memory
            than there is; and, before it is read, if its header speaks of more points than it can
            hold, or of more than ``MAX_UNPACKED`` bytes of compressed ones.
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
        except ImportError:
            raise
        except MemoryError as error:  # lists of PLY and chunks of LAZ have lengths of their own
            raise ValueError(
                f'{path}, of {path.stat().st_size} bytes, needs more memory than there is.'
            ) from error
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


def read_floats(path: str | os.PathLike) -> np.ndarray:
    """All float32 numbers of a file.

    Raises:
        ValueError: if it has more than ``MAX_UNPACKED`` bytes.
    """
    size = os.path.getsize(path)
    if size > MAX_UNPACKED:
        raise ValueError(f'{path} is no scan: {size} bytes, expected at most {MAX_UNPACKED}.')
    return np.fromfile(path, dtype=np.float32)


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
    values = read_floats(path)
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


def _check_room(path: Path, count: int, row: int, offset: int, what: str = 'points') -> None:
    """Raise ValueError unless a file has room for ``count`` rows of ``row`` bytes at ``offset``."""
    size = path.stat().st_size
    if count < 0 or count * max(row, 1) > size - offset:
        raise ValueError(
            f'its header says {count} {what} of at least {max(row, 1)} bytes, which a file of '
            f'{size} bytes cannot hold'
        )


def _check_unpacked(path: Path, count: int, row: int) -> None:
    if count * row > MAX_UNPACKED:
        raise ValueError(
            f'its header says {count} points of {row} bytes, compressed to {path.stat().st_size}; '
            f'at most {MAX_UNPACKED} bytes are unpacked'
        )


def _read_npy(path: Path) -> np.ndarray:
    with open(path, 'rb') as file:
        shape, dtype = read_npy_header(file)
        _check_room(path, math.prod(shape), dtype.itemsize, file.tell(), 'values')
    array = np.load(path, allow_pickle=False)
    if dtype.names:
        return _columns(array.ravel().__getitem__, dtype.names)
    if len(shape) != 2 or shape[1] < 3 or dtype.kind not in 'fiu':
        raise ValueError(f'expected numbers of the shape (N, >= 3), got {dtype} {shape}.')
    if array.shape[1] == 3:
        array = np.column_stack([array, np.zeros(len(array), array.dtype)])
    return array[:, :4]


def _read_pcd(path: Path) -> np.ndarray:
    pypcd4 = _needed('pypcd4', '.pcd')
    _check_pcd(path, pypcd4.MetaData.parse_header)
    cloud = pypcd4.PointCloud.from_path(path)
    return _columns(lambda name: cloud.numpy((name,))[:, 0], cloud.fields)


def _check_pcd(path: Path, parse_header: Callable) -> None:
    with open(path, 'rb') as file:
        lines: list[str] = []
        # As pypcd4 does it, so that both see the same header.
        for line in map(bytes.strip, file):
            if line and not line.startswith(b'#'):
                lines.append(line.decode('utf-8'))
                if line.startswith(b'DATA') or len(lines) >= 10:
                    break
        offset = file.tell()
        sizes = file.read(8)
    header = parse_header(lines)
    values = sum(header.count)
    if values > _MAX_VALUES:
        raise ValueError(f'its header says {values} values a point, more than {_MAX_VALUES}')
    row = sum(size * count for size, count in zip(header.size, header.count))
    kind = header.data.value
    if kind == 'ascii':  # a digit and what parts it from the next, but for the last
        _check_room(path, header.points, 2 * values, offset - 1)
    elif kind == 'binary':
        _check_room(path, header.points, row, offset)
    elif header.points:
        _check_unpacked(path, header.points, row)
        packed, unpacked = struct.unpack('<II', sizes)
        _check_room(path, packed, 1, offset + 8, 'compressed parts')
        if unpacked != header.points * row or unpacked > packed * _LZF_RATIO:
            raise ValueError(
                f'its header says {header.points} points of {row} bytes, its compressed part '
                f'{unpacked} bytes in {packed}, which does not fit'
            )


def _read_ply(path: Path) -> np.ndarray:
    plyfile = _needed('plyfile', '.ply')
    with open(path, 'rb') as file:
        header = plyfile.PlyData._parse_header(file)
        for element in header:
            sizes = [
                np.dtype(
                    p.list_dtype()[0] if isinstance(p, plyfile.PlyListProperty) else p.dtype()
                ).itemsize
                for p in element.properties
            ]
            # In text a digit and what parts it from the next; the last may end with the file.
            row, offset = (2 * len(sizes), -1) if header.text else (sum(sizes), 0)
            what = f'rows of {element.name!r}'
            _check_room(path, element.count, row, file.tell() + offset, what)
    vertex = plyfile.PlyData.read(str(path))['vertex']
    return _columns(lambda name: vertex[name], (p.name for p in vertex.properties))


def _read_las(path: Path) -> np.ndarray:
    laspy = _needed('laspy', '.las and .laz')
    with open(path, 'rb') as file:
        start = file.read(104)
    # laspy reads what stands before the points without looking at the size; a record has 54 bytes.
    _check_room(path, int.from_bytes(start[96:100], 'little'), 1, 0, 'bytes before the points')
    _check_room(path, int.from_bytes(start[100:], 'little'), 54, len(start), 'records')
    # Records after the points are of no use here. The parallel backend allots what the file says of
    # the parts of a LAZ file, and ends the process where that is too much.
    with laspy.open(path, read_evlrs=False, laz_backend=laspy.LazBackend.Lazrs) as reader:
        header = reader.header
        row, offset = header.point_format.size, header.offset_to_point_data
        if header.are_points_compressed:
            _check_unpacked(path, header.point_count, row)
            _check_chunks(path, offset)
        else:
            _check_room(path, header.point_count, row, offset)
        try:
            cloud = reader.read_points(-1)
        except BaseException as error:
            if type(error).__name__ != 'PanicException':  # lazrs's, of no class of errors
                raise
            raise ValueError(str(error)) from error
        return np.column_stack([cloud.x, cloud.y, cloud.z, cloud.intensity])


def _check_chunks(path: Path, offset: int) -> None:
    """A LAZ file's table of its parts, whose place stands before them, has room for them."""
    with open(path, 'rb') as file:
        file.seek(offset)
        (table,) = struct.unpack('<q', file.read(8))
        if table < 0:  # written without going back: it stands at the end
            file.seek(-8, os.SEEK_END)
            (table,) = struct.unpack('<q', file.read(8))
        file.seek(table)
        _, chunks = struct.unpack('<II', file.read(8))
    _check_room(path, chunks, 1, 0, 'parts')


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
