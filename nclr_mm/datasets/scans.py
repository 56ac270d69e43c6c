"""Reading of point clouds from the formats in use."""

from __future__ import annotations

import io
import math
import os
import re
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .checks import read_npy_header

__all__ = [
    'SCAN_SUFFIXES',
    'frame_fault',
    'layout_fault',
    'measured_points',
    'read_and_count',
    'read_floats',
    'read_scan',
]

# Bytes of the points of a scan, unpacked if it is compressed: 32 million points of 32 bytes. A turn
# of a LiDAR has up to a million.
MAX_UNPACKED = 2**30

# LZF, the compression of PCD, makes of 3 bytes at most 264.
_LZF_RATIO = 88

# Of a point of PCD; the longest of PCL's descriptors have 1344.
_MAX_VALUES = 2**16
_MAX_HEADER_LINE = 2**16
_PCD_FORMS = {'f4', 'f8', *(f'{kind}{size}' for kind in 'iu' for size in (1, 2, 4, 8))}

# Names of the intensity in PCD, PLY and structured arrays, in the order they are looked for.
INTENSITIES = (
    *('intensity', 'intensities', 'reflectivity', 'reflectance', 'remission', 'signal'),
    *('amplitude', 'i'),
)
# Names of what is not the intensity; letters and digits count. A file with other fields may have it
# under a name of its own.
_OTHER_FIELDS = re.compile(
    r'[xyztd]?|padding|red|green|blue|alpha|rgba?|colou?r|n[xyz]|normal[xyz]|v[xyz]|velocity|[dt]s'
    r'|curvature|ring|channel|(scan)?line|layer|row|col|column|laser|beam|facet|azimuth|elevation'
    r'|theta|phi|range|depth|distance|dt|ambient|nearir|noise|confidence|elongation|(obj)?tag|semantic'
    r'|instance|object|classification|return(number|type)|numberofreturns|edgeofflightline|userdata'
    r'|scanangle|cosangle|timeoffset|.*(time|stamp|id|idx|index|label|class|flags?|n?sec)'
)

# Metres. Map coordinates reach 1e7; of what lies above, drivers write the largest float32 where
# nothing was measured. A quarter turn in floating point leaves 1e-17.
_LARGEST, _NOT_MEASURED, _SMALLEST = 1e8, 1e38, 1e-20
# Metres. Half of the points around a vehicle are nearer, by a factor of ten.
_FARTHEST_MEDIAN = 500.0
# Where there is no intensity, drivers write this.
_NO_INTENSITY = -1
# Of files whose columns are given: intensities may be standardised, but are no coordinates.
LEAST_GIVEN = -10
# Share of odd values that a scan may have, and points of which some would be odd by chance.
_ODD_SHARE, _FEW_POINTS = 0.01, 32


class _OtherForm(ValueError):
    """The file is sound, but what it holds is not as expected."""


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
            ring) allow. The values are checked by :func:`layout_fault`; where ``columns`` is given,
            intensities may go down to -10.

    Returns:
        (N, 4) float32: x, y, z as stored (metres), intensity as stored (0 where there is none).

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if the package that reads the format is missing, saying which.
        ValueError: if the file is damaged, of another form or layout, has an intensity under an
            unknown name, holds no point, or needs more memory than there is; and, before it is
            read, if its header speaks of more points than it can hold, or of more than
            ``MAX_UNPACKED`` bytes of compressed ones.
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
        except _OtherForm as error:
            raise ValueError(f'{path} {error}.') from error
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
        fault = layout_fault(points)
        if fault:
            raise ValueError(f'{path} holds no scan in metres: {fault}.')
    with np.errstate(over='ignore'):  # the largest float64 becomes infinite: not measured either
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


def layout_fault(points: np.ndarray, least: float | None = None) -> str | None:
    """What shows that numbers were cut into points of another layout than they were written in.

    Rows of 3, 6 or 8 float32 numbers, or of float64, that are read as 4 or 5 float32 numbers a
    point give one or more of these:

    - coordinates above 1e8 m, or below 1e-20 m but not 0 (halves of float64, integers);
    - every n-th point, n from 2 to 8, has as x and y only whole numbers and numbers from 0 to 1,
      which differ (scores, colours, rings, times), or is of unit length (normals), where the others
      are not;
    - every n-th point has a negative intensity far more often than the others (coordinates came
      into the fourth column);
    - more than 1 % of the intensities are below ``least``, other than -1 and one value alone, which
      mean that there is none.

    What the numbers do not tell is not found: fewer than 32 points, whole points between the points
    (a second return in the same row), columns in another order that are alike.

    Args:
        points: (N, >= 3) x, y, z and, if there is a fourth column, intensity; as they are stored.
        least: intensity that is possible, None if any is: 0 for the known data sets.

    Returns:
        The fault, for a sentence; None if there is none.
    """
    if len(points) < _FEW_POINTS:
        return None
    size = np.abs(points[:, :3].T.copy())
    for what, odd in {
        f'above {_LARGEST:g} m': (size > _LARGEST) & (size < _NOT_MEASURED),
        f'below {_SMALLEST:g} m that are not 0': (size < _SMALLEST) & (size > 0),
    }.items():
        number = np.count_nonzero(odd)
        # One value alone is a mark of points that were not measured.
        if number > _ODD_SHARE * len(points) and np.ptp(size[odd]) > 0:
            return f'{len(points)} points have {number} coordinates {what}'
    some = (size[:2] != 0).any(axis=0) & (size[:2] < _NOT_MEASURED).all(axis=0)
    plane = points[:, :2].T
    flat = (((plane >= 0) & (plane <= 1)) | (plane == np.rint(plane))).all(axis=0)
    with np.errstate(over='ignore'):
        flat = (flat | (np.abs(np.linalg.norm(size, axis=0) - 1) < 0.02)) & some
    below = _negative_intensities(points)
    for period in range(2, 9):
        number, flats, belows = (
            np.array([np.count_nonzero(marks[i::period]) for i in range(period)])
            for marks in (some, flat, below)
        )
        enough = number >= _FEW_POINTS
        if (enough & (2 * flats <= number)).any():
            for phase in np.flatnonzero(enough & (flats == number)):
                values = plane[:, phase::period][:, some[phase::period]]
                if np.ptp(values, axis=1).any():  # else a mark of points that were not measured
                    return (
                        f'one point in {period} has as x and y only whole numbers and numbers from '
                        '0 to 1, or unit length'
                    )
        # Far more: than chance makes of so many, five times its standard deviation.
        size_of_phase = len(points) // period
        if np.ptp(belows) > 0.05 * size_of_phase + 5 * np.sqrt(size_of_phase / 2):
            return f'one point in {period} has negative intensities more often than the others'
    if least is not None:
        low = points[below, 3:4]
        low = low[low < least]
        if len(low) > _ODD_SHARE * len(points) and np.ptp(low) > 0:
            return f'{len(points)} points have {len(low)} intensities below {least:g}'
    return None


def frame_fault(points: np.ndarray) -> str | None:
    """What shows that coordinates are not metres in the LiDAR's own frame.

    Args:
        points: (N, >= 3) x, y, z.

    Returns:
        The fault, for a sentence, where half of the points are farther than 500 m from the origin,
        as in the coordinates of a map or in millimetres; None if there is none.
    """
    some = points[:: max(1, len(points) // 4096), :3].astype(np.float64)
    distance = np.linalg.norm(some[np.isfinite(some).all(axis=1)], axis=1)
    distance = distance[(distance > 0) & (distance < _NOT_MEASURED)]
    median = float(np.median(distance)) if len(distance) else 0.0
    if median <= _FARTHEST_MEDIAN:
        return None
    return (
        f'half of the points are farther than {median:.0f} m from the origin, expected at most '
        f"{_FARTHEST_MEDIAN:.0f} m: coordinates must be in the LiDAR's own frame, not those of a "
        'map, and in metres'
    )


def _negative_intensities(points: np.ndarray) -> np.ndarray:
    """(N,) whether the intensity of points (N, >= 3) is below 0, but not -1, which means none."""
    return ((points[:, 3:4] < 0) & (points[:, 3:4] != _NO_INTENSITY)).any(axis=1)


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
    points = values.reshape(-1, fitting[0])[:, :4]
    fault = layout_fault(points, LEAST_GIVEN if columns else 0)
    if fault:
        raise ValueError(
            f'{path} does not hold {fitting[0]} float32 numbers a point (x, y, z, intensity, ...): '
            f'{fault}; say how many it holds (--columns, or num_pts_feats in an info file), and '
            'save float64 as float32.'
        )
    return points


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
    if dtype.hasobject:
        raise ValueError('it holds objects of Python')
    # No scan has more columns than points, but one of three points may have four.
    points, columns = shape if len(shape) == 2 else (0, 0)
    if not dtype.names and (columns < 3 or columns > max(points, 4) or dtype.kind not in 'fiu'):
        raise _OtherForm(
            'holds no scan: expected numbers of the shape (N, 3) or (N, 4 or more) with a row '
            f'for each point, got {dtype} {shape}'
        )
    array = np.load(path, allow_pickle=False)
    if dtype.names:
        return _columns(array.ravel().__getitem__, dtype.names)
    if columns == 3:
        array = np.column_stack([array, np.zeros(len(array), array.dtype)])
    return array[:, :4]


def _read_pcd(path: Path) -> np.ndarray:
    pypcd4 = _needed('pypcd4', '.pcd')
    with open(path, 'rb') as file:
        fields, number, kind = _read_pcd_header(file)
        values = sum(count for _, _, count in fields)
        row = sum(np.dtype(form).itemsize * count for _, form, count in fields)
        if values > _MAX_VALUES:
            raise ValueError(f'its header says {values} values a point, more than {_MAX_VALUES}')
        offset = file.tell()
        if kind == 'ascii':  # a digit and what parts it from the next, but for the last
            _check_room(path, number, 2 * values, offset - 1)
            fields = [(name, 'f8', count) for name, _, count in fields]
            rows = [b' '.join(words) for line in file if (words := line.split())][:number]
            if len(rows) < number:
                raise ValueError(f'its header says {number} points, but it has {len(rows)}')
            content = b'\n'.join(rows)
        elif kind == 'binary':
            _check_room(path, number, row, offset)
            content = file.read(number * row)
        else:
            content = file.read(8) if number else b''
            if number:
                _check_unpacked(path, number, row)
                packed, unpacked = struct.unpack('<II', content)
                _check_room(path, packed, 1, offset + 8, 'compressed parts')
                if unpacked != number * row or unpacked > packed * _LZF_RATIO:
                    raise ValueError(
                        f'its header says {number} points of {row} bytes, its compressed part '
                        f'{unpacked} bytes in {packed}, which does not fit'
                    )
                content += file.read(packed)
    # pypcd4 gets a complete header, with names that it does not mistake.
    lines = {
        'FIELDS': [f'f{i}' for i in range(len(fields))],
        'SIZE': [np.dtype(form).itemsize for _, form, _ in fields],
        'TYPE': [form[0].upper() for _, form, _ in fields],
        'COUNT': [count for _, _, count in fields],
        'WIDTH': [number],
        'POINTS': [number],
        'DATA': [kind],
    }
    header = ''.join(f'{key} {" ".join(map(str, words))}\n' for key, words in lines.items())
    cloud = pypcd4.PointCloud.from_fileobj(io.BytesIO(header.encode() + content))
    places = {name: f'f{i}' for i, (name, _, count) in enumerate(fields) if count == 1}
    return _columns(lambda name: np.atleast_1d(cloud.pc_data[places[name]]), places)


def _read_pcd_header(file: BinaryIO) -> tuple[list[tuple[str, str, int]], int, str]:
    """The fields of a PCD file (name, NumPy's type, values), number of points and kind of content.

    The file is left where its content begins. Lines that may be missing are completed: COUNT is 1,
    POINTS is WIDTH times HEIGHT. Fields without a value are left out.
    """
    lines: dict[str, list[str]] = {}
    while 'DATA' not in lines:
        line = file.readline(_MAX_HEADER_LINE)
        if not line or file.tell() > 64 * _MAX_HEADER_LINE:
            raise ValueError('its header has no line DATA')
        words = line.decode('utf-8').split()
        if words and not words[0].startswith('#'):
            lines[words[0].upper()] = words[1:]

    def numbers(key: str, count: int) -> list[int]:
        if len(lines[key]) != count or not all(word.isdecimal() for word in lines[key]):
            raise ValueError(
                f'the line {" ".join([key, *lines[key]])[:80]!r} of its header was not understood, '
                f'expected {count} whole numbers'
            )
        return [int(word) for word in lines[key]]

    lines['FIELDS'] = names = lines.get('FIELDS', lines.get('COLUMNS', []))
    lines.setdefault('COUNT', ['1'] * len(names))
    lines.setdefault('HEIGHT', ['1'])
    missing = [key for key in ('FIELDS', 'SIZE', 'TYPE') if not lines.get(key)]
    if missing or not lines.keys() & {'POINTS', 'WIDTH'}:
        raise ValueError(f'its header has no line {(*missing, "POINTS")[0]}')
    sizes, counts = numbers('SIZE', len(names)), numbers('COUNT', len(names))
    types = ''.join(lines['TYPE']).lower()
    forms = [f'{kind}{size}' for kind, size in zip(types, sizes)]
    if len(types) != len(names) or not set(forms) <= _PCD_FORMS:
        raise ValueError(
            f'the lines {" ".join(["TYPE", *lines["TYPE"]])[:80]!r} and '
            f'{" ".join(["SIZE", *lines["SIZE"]])[:80]!r} of its header were not understood, '
            f'expected F, I or U and the bytes of each of {len(names)} fields'
        )
    if 'POINTS' in lines:
        (points,) = numbers('POINTS', 1)
    else:
        points = numbers('WIDTH', 1)[0] * numbers('HEIGHT', 1)[0]
    kind = ' '.join(lines['DATA']).lower()
    if kind not in ('ascii', 'binary', 'binary_compressed'):
        raise ValueError(
            f"the line 'DATA {kind[:80]}' of its header was not understood, expected ascii, binary "
            'or binary_compressed'
        )
    fields = [field for field in zip(names, forms, counts) if field[2]]
    return fields, points, kind


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
    """x, y, z and intensity of named columns, in whatever case the names are.

    CloudCompare writes ``scalar_`` before the names of what is no coordinate.
    """
    fields = list(fields)
    bare = {name: name.lower().removeprefix('scalar_') for name in fields}
    names = {bare[name]: name for name in fields} | {name.lower(): name for name in fields}
    missing = [name for name in 'xyz' if name not in names]
    if missing:
        raise ValueError(f'it has no field {missing[0]!r}, only {sorted(fields)}.')
    found = [np.asarray(read(names[name]), dtype=np.float64) for name in 'xyz']
    intensity = next((names[name] for name in INTENSITIES if name in names), None)
    plain = {name: re.sub('[^a-z0-9]', '', bare[name]) for name in fields}
    colours = set('rgba') if {'r', 'g', 'b'} <= set(plain.values()) else set()
    unknown = [
        name
        for name in fields
        if plain[name] not in colours and not _OTHER_FIELDS.fullmatch(plain[name])
    ]
    if intensity is None and unknown:
        raise _OtherForm(
            f'has no intensity under a known name ({", ".join(INTENSITIES)}), but fields that may '
            f'be it: {", ".join(unknown)[:200]}; rename the one that is, or leave them out'
        )
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
