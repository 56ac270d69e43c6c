"""Point clouds of every format, written by other libraries or by hand."""

import struct

import numpy as np
import pytest

from nclr_mm.datasets import scans
from nclr_mm.datasets.scans import read_scan
from tests.memory import at_most

POINTS = np.array([[1.5, -2, 0.25, 10], [30, 4, -1, 200], [-7, 8, 9.5, 0]], dtype=np.float32)


def write_bin(path, columns):
    rows = np.zeros((len(POINTS), columns), dtype=np.float32)
    rows[:, :4] = POINTS
    rows[:, 4:] = np.arange(len(POINTS))[:, None]
    rows.tofile(path)


def write_pcd_ascii(path):
    rows = '\n'.join('{:g} {:g} {:g} {:g}'.format(*row) for row in POINTS)
    path.write_text(
        '# .PCD v0.7\nVERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\n'
        'COUNT 1 1 1 1\nWIDTH 3\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 3\nDATA ascii\n'
        f'{rows}\n'
    )


def write_pcd_binary(path):
    """As ROS drivers write them: other fields in between, padding, another name of intensity."""
    header = (
        '# .PCD v0.7\nVERSION 0.7\nFIELDS x y z ring Reflectivity\nSIZE 4 4 4 2 4\n'
        'TYPE F F F U F\nCOUNT 1 1 1 1 1\nWIDTH 3\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 3\n'
        'DATA binary\n'
    )
    rows = b''.join(struct.pack('<fffHf', *row[:3], 7, row[3]) for row in POINTS.tolist())
    path.write_bytes(header.encode() + rows)


def write_pcd_compressed(path):
    pypcd4 = pytest.importorskip('pypcd4')
    cloud = pypcd4.PointCloud.from_xyzi_points(POINTS)
    cloud.save(path, pypcd4.Encoding.BINARY_COMPRESSED)


def write_ply(path):
    rows = '\n'.join('{:g} {:g} {:g} {:g}'.format(*row) for row in POINTS)
    path.write_text(
        'ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n'
        f'property float z\nproperty float scalar_Intensity\nend_header\n{rows}\n'
    )


def write_las(path):
    laspy = pytest.importorskip('laspy')
    las = laspy.create(point_format=0, file_version='1.2')
    las.header.scales = [0.001] * 3
    las.x, las.y, las.z = POINTS[:, :3].T.astype(float)
    las.intensity = POINTS[:, 3].astype(np.uint16)
    las.write(path)


def write_structured(path):
    array = np.zeros(3, dtype=[('x', 'f8'), ('y', 'f8'), ('z', 'f8'), ('intensity', 'u2')])
    for i, name in enumerate(array.dtype.names):
        array[name] = POINTS[:, i]
    np.save(path, array)


@pytest.mark.parametrize(
    ('name', 'write'),
    [
        ('scan.bin', lambda path: write_bin(path, 4)),
        ('scan5.bin', lambda path: write_bin(path, 5)),
        ('scan.pcd.bin', lambda path: write_bin(path, 5)),
        ('scan.npy', lambda path: np.save(path, POINTS.astype(np.float64))),
        ('structured.npy', write_structured),
        ('ascii.pcd', write_pcd_ascii),
        ('binary.pcd', write_pcd_binary),
        ('compressed.pcd', write_pcd_compressed),
        ('scan.ply', write_ply),
        ('scan.las', write_las),
        ('scan.laz', write_las),
    ],
)
def test_formats(name, write, tmp_path):
    write(tmp_path / name)
    points = read_scan(tmp_path / name)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points, POINTS, atol=1e-6)


def test_columns_of_a_bin_file(tmp_path):
    path = tmp_path / 'scan.bin'
    # 20 points of 4 numbers are as many bytes as 16 of 5; their fifth numbers are no rings.
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    rows.tofile(path)
    with pytest.raises(ValueError, match=r'may hold 4 or 5 float32 numbers a point'):
        read_scan(path)
    np.testing.assert_array_equal(read_scan(path, 4), rows)
    rows[:, 3] = np.abs(rows[:, 3])
    rows.tofile(path)
    np.testing.assert_array_equal(read_scan(path), rows)
    rows = np.column_stack([rows, np.arange(20)]).astype(np.float32)
    rows.tofile(path)
    np.testing.assert_array_equal(read_scan(path), rows[:, :4])
    rows = np.column_stack([rows, np.arange(20)]).astype(np.float32)
    rows.tofile(path)
    np.testing.assert_array_equal(read_scan(path, columns=6), rows[:, :4])
    with pytest.raises(ValueError, match='columns must be at least 4'):
        read_scan(path, columns=3)


def test_what_was_not_measured_is_left_out(tmp_path):
    rows = POINTS.copy()
    rows[0, 1] = np.nan
    rows[2, 3] = np.inf
    np.save(tmp_path / 'scan.npy', np.vstack([rows, np.zeros((2, 4), np.float32)]))
    np.testing.assert_array_equal(
        read_scan(tmp_path / 'scan.npy'), [POINTS[1], [*POINTS[2, :3], 0]]
    )


def test_without_intensity(tmp_path):
    np.save(tmp_path / 'scan.npy', POINTS[:, :3])
    points = read_scan(tmp_path / 'scan.npy')
    np.testing.assert_array_equal(points[:, :3], POINTS[:, :3])
    assert (points[:, 3] == 0).all()


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('scan.bin', b'\0' * 30, 'cut off or of another form'),
        ('scan.bin', b'', 'cut off or of another form'),
        ('scan.npy', b'no array', 'is damaged or no NPY'),
        ('scan.pcd', b'no cloud', 'is damaged or no PCD'),
        ('scan.ply', b'ply\nformat ascii 1.0\nelement vertex 9\n', 'is damaged or no PLY'),
        ('scan.las', b'LASF', 'is damaged or no LAS'),
        ('scan.txt', b'1 2 3', 'of no known format'),
        ('scan.bin', bytes(160), 'holds no point'),
    ],
)
def test_damaged_files(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_scan(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1 and 'http' not in str(caught.value)


def npy(shape, descr='<f4'):
    """The header of an array, and three points."""
    header = repr({'descr': descr, 'fortran_order': False, 'shape': shape}).ljust(117) + '\n'
    start = b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header))
    return start + header.encode() + POINTS.tobytes()


def pcd(kind, points, content, count=1):
    return (
        'VERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\n'
        f'COUNT 1 1 1 {count}\nWIDTH {points}\nHEIGHT 1\nPOINTS {points}\nDATA {kind}\n'
    ).encode() + content


def ply(kind, elements):
    """Elements of three numbers, and three rows."""
    lines = [
        f'element {e}\n{"".join(f"property float {n}{chr(10)}" for n in "xyz")}' for e in elements
    ]
    rows = b'1 2 3\n' * 3 if kind == 'ascii' else POINTS[:, :3].tobytes()
    return f'ply\nformat {kind} 1.0\n{"".join(lines)}end_header\n'.encode() + rows


def las(name, patches):
    """A scan that laspy wrote, with other bytes at some places."""

    def make(folder):
        write_las(folder / name)
        content = bytearray((folder / name).read_bytes())
        for place, form, value in patches(content) if callable(patches) else patches:
            struct.pack_into(form, content, place, value)
        return bytes(content)

    return make


def chunk_table(content):
    (offset,) = struct.unpack_from('<I', content, 96)
    return struct.unpack_from('<q', content, offset)[0]


FALSE_HEADERS = {
    'npy': ('a.npy', npy((10**9, 4)), r'4000000000 values .* a file of 176 bytes cannot hold'),
    'npy beyond 64 bits': ('a.npy', npy((10**18, 10**18)), 'values .* cannot hold'),
    'npy of nothing': (
        'a.npy',
        npy((10**8,), [('x', '|S0'), ('y', '|S0'), ('z', '|S0')]),
        '100000000 values .* cannot hold',
    ),
    'pcd': ('a.pcd', pcd('binary', 10**12, b' ' * 48), r'1000000000000 points of .* cannot hold'),
    'pcd in text': ('a.pcd', pcd('ascii', 10**9, b'1 2 3 4\n'), r'1000000000 points .* cannot'),
    'pcd of many values': (
        'a.pcd',
        pcd('binary', 0, b'', 10**5),
        r'100003 values a point, more than 65536',
    ),
    'compressed pcd': (
        'a.pcd',
        pcd('binary_compressed', 6 * 10**7, struct.pack('<II', 9, 96 * 10**7) + b'\0' * 9),
        r'60000000 points of 16 bytes, its compressed part 960000000 bytes in 9, which',
    ),
    'compressed pcd of other sizes': (
        'a.pcd',
        pcd('binary_compressed', 3, struct.pack('<II', 9, 96 * 10**7) + b'\0' * 9),
        r'3 points of 16 bytes, its compressed part 960000000 bytes',
    ),
    'compressed pcd with a long part': (
        'a.pcd',
        pcd('binary_compressed', 3, struct.pack('<II', 2**31, 48) + b'\0' * 9),
        r'2147483648 compressed parts .* cannot hold',
    ),
    'compressed pcd beyond all': (
        'a.pcd',
        pcd('binary_compressed', 10**8, struct.pack('<II', 9, 16 * 10**8) + b'\0' * 9),
        r'100000000 points of 16 bytes, compressed to 157; at most 1073741824 bytes',
    ),
    'ply': (
        'a.ply',
        ply('binary_little_endian', ['vertex 1000000000']),
        r"1000000000 rows of 'vertex' .* cannot hold",
    ),
    'ply in text': (
        'a.ply',
        ply('ascii', ['vertex 100000000']),
        r"100000000 rows of 'vertex' of at least 6 bytes, which a file of .* cannot hold",
    ),
    'ply with more': (
        'a.ply',
        ply('ascii', ['vertex 3', 'face 100000000']),
        r"100000000 rows of 'face' .* cannot hold",
    ),
    'las': (
        'a.las',
        las('a.las', [(107, '<I', 10**9)]),
        r'1000000000 points of at least 20 bytes, which a file of 287 bytes cannot hold',
    ),
    'las with records': ('a.las', las('a.las', [(100, '<I', 10**5)]), '100000 records of'),
    'las that begins late': (
        'a.las',
        las('a.las', [(96, '<I', 10**9)]),
        '1000000000 bytes before the points .* cannot hold',
    ),
    'laz': (
        'a.laz',
        las('a.laz', [(107, '<I', 10**8)]),
        r'100000000 points of 20 bytes, compressed to \d+; at most 1073741824 bytes',
    ),
    'laz of many parts': (
        'a.laz',
        las('a.laz', lambda content: [(chunk_table(content) + 4, '<I', 2**32 - 1)]),
        '4294967295 parts .* cannot hold',
    ),
    'laz of points without a value': (  # which lazrs panics on
        'a.laz',
        las('a.laz', [(227 + 54 + 32, '<H', 0)]),
        'is damaged or no LAZ file: There should be at least one LazItem',
    ),
}


@pytest.mark.parametrize('name', FALSE_HEADERS)
def test_headers_that_speak_of_more_than_there_is(name, tmp_path):
    file, content, message = FALSE_HEADERS[name]
    path = tmp_path / file
    content = content(tmp_path) if callable(content) else content
    path.write_bytes(content)
    with at_most(16), pytest.raises(ValueError, match=message) as caught:
        read_scan(path)
    assert str(path) in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('a.npy', npy((3, 4))),
        ('a.pcd', pcd('binary', 3, POINTS.tobytes())),
        ('a.pcd', pcd('ascii', 3, b'1 2 3 4\n1 2 3 4\n1 2 3 4')),
        ('a.ply', ply('ascii', ['vertex 3'])),
        ('a.ply', ply('binary_little_endian', ['vertex 3'])),
        ('a.laz', las('a.laz', [])),
    ],
)
def test_true_headers_of_the_same_kind(name, content, tmp_path):
    """The oracle of the test above, to the last byte."""
    content = content(tmp_path) if callable(content) else content
    (tmp_path / name).write_bytes(content)
    assert len(read_scan(tmp_path / name)) == 3


def test_points_that_compress_as_far_as_lzf_can(tmp_path):
    pypcd4 = pytest.importorskip('pypcd4')
    rows = np.ones((200_000, 4), np.float32)
    pypcd4.PointCloud.from_xyzi_points(rows).save(
        tmp_path / 'a.pcd', pypcd4.Encoding.BINARY_COMPRESSED
    )
    assert (tmp_path / 'a.pcd').stat().st_size < rows.nbytes / 80
    np.testing.assert_array_equal(read_scan(tmp_path / 'a.pcd'), rows)


def test_a_reader_without_memory_names_the_file(tmp_path, monkeypatch):
    def read(path):
        raise MemoryError

    monkeypatch.setitem(scans._READERS, '.ply', read)
    (tmp_path / 'a.ply').write_bytes(b'1234567')
    with pytest.raises(ValueError, match=r'a\.ply, of 7 bytes, needs more memory than there is'):
        read_scan(tmp_path / 'a.ply')


def test_arrays_of_objects_are_refused(tmp_path):
    np.save(tmp_path / 'scan.npy', np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match='is damaged or no NPY'):
        read_scan(tmp_path / 'scan.npy')


def test_a_folder_is_no_scan(tmp_path):
    with pytest.raises(IsADirectoryError, match='is a folder; the file of a scan was expected'):
        read_scan(tmp_path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'scan\.bin does not exist'):
        read_scan(tmp_path / 'scan.bin')


def test_a_field_that_is_missing(tmp_path):
    (tmp_path / 'scan.ply').write_text(
        'ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n'
        'end_header\n1 2\n'
    )
    with pytest.raises(ValueError, match="no field 'z', only"):
        read_scan(tmp_path / 'scan.ply')
