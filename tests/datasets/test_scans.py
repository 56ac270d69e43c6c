"""Point clouds of every format, written by other libraries or by hand."""

import re
import struct

import numpy as np
import pytest

from nclr_mm.datasets import scans
from nclr_mm.datasets.scans import frame_fault, layout_fault, read_scan
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


def cloud(number, seed=0, intensity=1.0):
    """A turn of a LiDAR on a street, with columns that drivers append."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(number, 3))
    azimuth, distance = rng.uniform(-np.pi, np.pi, number), rng.gamma(2, 8, number) + 1.5
    return dict(
        xyz=np.c_[
            distance * np.cos(azimuth), distance * np.sin(azimuth), rng.uniform(-2, 1, number)
        ],
        i=rng.uniform(0, intensity, number),
        ring=rng.integers(0, 64, number),
        time=rng.uniform(0, 0.1, number),
        back=rng.uniform(-0.1, 0, number),
        scores=rng.uniform(0, 1, (number, 4)),
        colour=rng.integers(0, 256, (number, 3)),
        normal=normal / np.linalg.norm(normal, axis=1, keepdims=True),
    )


OTHER_LAYOUTS = {  # columns, and the one that is right for float32, if any
    'xyz': None,
    'xyz i': 4,
    'xyz i ring': 5,
    'xyz i ring time': None,
    'xyz i ring back': None,
    'xyz i colour': None,
    'xyz i normal': None,
    'xyz i scores': None,
    'xyz i normal ring': None,
    'xyz i ring time ring ring': None,
    'xyz i scores scores': None,
}


@pytest.mark.parametrize('columns', [None, 4, 5])
@pytest.mark.parametrize('names', OTHER_LAYOUTS)
def test_bin_files_of_another_layout_are_refused(names, columns, tmp_path):
    path = tmp_path / 'scan.bin'
    for number in range(1000, 1020):
        parts = cloud(number, number, (1, 255, 65535)[number % 3])
        rows = np.column_stack([parts[name] for name in names.split()])
        for form in ('<f4', '<f8'):
            rows.astype(form).tofile(path)
            right = OTHER_LAYOUTS[names] if form == '<f4' else None
            if right and columns in (None, right):
                expected = rows[:, :4].astype(np.float32)
                np.testing.assert_array_equal(read_scan(path, columns), expected)
            else:
                with pytest.raises(ValueError, match=r'scan\.bin ') as caught:
                    read_scan(path, columns)
                message = str(caught.value)
                assert '--columns' in message or 'cut off or of another form' in message


def test_the_sign_of_another_layout_is_named(tmp_path):
    path = tmp_path / 'scan.bin'
    parts = cloud(1001)
    for names, form, sign in (
        ('xyz i', '<f8', r'coordinates above 1e\+08 m'),
        ('xyz i scores', '<f4', 'one point in 2 has as x and y only whole numbers'),
        ('xyz i ring time', '<f4', r'scan\.bin is cut off'),
    ):
        np.column_stack([parts[name] for name in names.split()]).astype(form).tofile(path)
        with pytest.raises(ValueError, match=sign):
            read_scan(path)
    np.c_[parts['xyz'], np.arange(1001)].astype('<i4').tofile(path)
    with pytest.raises(ValueError, match='coordinates below 1e-20 m that are not 0'):
        read_scan(path)
    rows = np.c_[parts['xyz'], parts['i'] - 0.5].astype(np.float32)
    rows.tofile(path)
    np.testing.assert_array_equal(read_scan(path, columns=4), rows)  # the user says so
    with pytest.raises(ValueError, match=r'1001 points have \d+ intensities below 0; say'):
        read_scan(path)


def sound_scans():
    rng = np.random.default_rng(5)
    parts = cloud(4000)
    rows = np.c_[parts['xyz'], parts['i']]
    grid = np.stack(np.meshgrid(np.arange(-30, 30, 0.5), np.arange(0, 20, 0.5), [0.0]), -1)
    beams = rows.copy()  # VLP-16: every second point is of a beam that looks up
    beams[:, 2] = np.where(np.arange(4000) % 2, 1, -1) * rng.uniform(0.1, 3, 4000)
    return {
        'sorted': rows[np.argsort(np.arctan2(rows[:, 1], rows[:, 0]))],
        'without intensity': rows * (1, 1, 1, 0),
        'no intensity, said by -1': np.c_[rows[:, :3], np.full(4000, -1)],
        'some intensities are -5': np.where(np.arange(16000).reshape(-1, 4) % 803 == 3, -5, rows),
        'intensity of 8 bits': rows * (1, 1, 1, 255),
        'intensity of 16 bits': np.rint(rows * (1, 1, 1, 65535)),
        'beams in turn': beams,
        'within a metre': rng.uniform(-0.9, 0.9, (4000, 4)) + (0, 0, 0, 1),
        'grid': np.c_[grid.reshape(-1, 3), np.ones(grid.size // 3)],
        'one point': np.ones((4000, 4)),
        'half are NaN': np.where(np.arange(4000)[:, None] % 2, np.nan, rows),
        'half are 0': np.where(np.arange(4000)[:, None] % 2, 0, rows),
        'half are the largest float': np.where(
            np.arange(4000)[:, None] % 2, np.finfo(np.float32).max, rows
        ),
        'on a map': rows + (4.5e5, 5.4e6, 300, 0),
        'a quarter turn in floating point': rows * (np.cos(np.pi / 2), 1, 1, 1),
        'few points': rows[:31] * 1e9,
        'no point': rows[:0],
        'in front': rows[rows[:, 0] > 0],
        'whole numbers': np.rint(rows),
    }


@pytest.mark.parametrize('name', sound_scans())
def test_sound_scans_have_no_fault(name):
    rows = sound_scans()[name]
    rng = np.random.default_rng(6)
    for form in (np.float32, np.float64):
        assert layout_fault(rows.astype(form)) is None
        assert layout_fault(rng.permutation(rows).astype(form)) is None
        assert layout_fault(rows[:, :3].astype(form)) is None


def test_real_scans_have_no_fault_until_they_are_cut_otherwise(real_data):
    files = [*real_data.glob('kitti*/**/velodyne/*.bin'), *real_data.glob('**/LIDAR_TOP/*.bin')]
    assert len(files) > 60
    for path in files:
        columns = 5 if 'LIDAR_TOP' in path.parts else 4
        rows = np.fromfile(path, np.float32).reshape(-1, columns)
        assert layout_fault(rows) is None, path
        for other in (rows[:, :3], np.c_[rows, rows[:, 3:] * 0.1, rows[:, 3:]], rows.astype('f8')):
            values = np.frombuffer(other.tobytes(), np.float32)
            for wrong in {4, 5} - {other.shape[1] * (other.dtype == np.float32)}:
                cut = values[: len(values) // wrong * wrong].reshape(-1, wrong)
                assert layout_fault(cut) is not None, (path, other.shape, wrong)


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


@pytest.mark.parametrize(
    ('array', 'got'),
    [
        (np.ones((4, 300), np.float32), r'float32 \(4, 300\)'),
        (np.ones((3, 300)), r'float64 \(3, 300\)'),
        (np.ones((300, 4)).T, r'float64 \(4, 300\)'),  # in Fortran's order
        (np.ones((300, 2)), r'float64 \(300, 2\)'),
        (np.ones(300), r'float64 \(300,\)'),
        (np.ones((16, 300, 4)), r'float64 \(16, 300, 4\)'),
        (np.ones((300, 4), complex), r'complex128 \(300, 4\)'),
        (np.ones((300, 4), bool), r'bool \(300, 4\)'),
        (np.full((300, 4), 'a'), r'<U1 \(300, 4\)'),
    ],
)
def test_arrays_of_another_shape(array, got, tmp_path):
    np.save(tmp_path / 'scan.npy', array)
    with pytest.raises(ValueError, match=rf'scan\.npy holds no scan: expected .*, got {got}\.$'):
        read_scan(tmp_path / 'scan.npy')


def test_arrays_of_every_kind_of_number(tmp_path):
    rows = np.arange(1, 241).reshape(60, 4) % 97
    for form in ('<f2', '>f4', '<f8', '<i2', '>u4'):
        for array in (rows, np.asfortranarray(rows)):
            np.save(tmp_path / 'scan.npy', array.astype(form))
            np.testing.assert_array_equal(read_scan(tmp_path / 'scan.npy'), rows)
    far = np.where(np.arange(60)[:, None] < 50, rows * 1e12, rows)
    np.save(tmp_path / 'scan.npy', far)
    with pytest.raises(ValueError, match=r'scan\.npy holds no scan in metres: 60 points have 1'):
        read_scan(tmp_path / 'scan.npy')
    np.save(tmp_path / 'scan.npy', np.where(far > 1e8, np.finfo(np.float64).max, rows))
    np.testing.assert_array_equal(read_scan(tmp_path / 'scan.npy'), rows[50:])


def ply_of(names):
    rows = '\n'.join(
        ' '.join(map(str, [*row, *range(4, 1 + len(names))])) for row in [(1, 2, 3)] * 2
    )
    lines = ''.join(f'property float {name}\n' for name in names)
    return f'ply\nformat ascii 1.0\nelement vertex 2\n{lines}end_header\n{rows}\n'


@pytest.mark.parametrize(
    ('names', 'intensity'),
    [
        ('signal', 4),
        ('reflectivity', 4),
        ('Intensities', 4),
        ('scalar_Reflectance', 4),
        ('t reflectivity ring signal intensity', 8),
        ('t signal reflectivity ring', 6),
        ('scalar_Label scalar_GPS_Time', 0),
        ('red green blue nx ny nz curvature', 0),
        ('t ring ambient near_ir range return_number classification laser_id', 0),
    ],
)
def test_names_of_the_intensity(names, intensity, tmp_path):
    (tmp_path / 'scan.ply').write_text(ply_of(['x', 'y', 'z', *names.split()]))
    np.testing.assert_array_equal(read_scan(tmp_path / 'scan.ply'), [[1, 2, 3, intensity]] * 2)


def test_an_intensity_under_an_unknown_name(tmp_path):
    (tmp_path / 'scan.ply').write_text(ply_of(['x', 'y', 'z', 'ring', 'brightness', 'quality']))
    message = (
        r'scan\.ply has no intensity under a known name \(intensity, .*: brightness, quality; '
    )
    with pytest.raises(ValueError, match=message):
        read_scan(tmp_path / 'scan.ply')
    array = np.zeros(3, [(name, 'f4') for name in ('x', 'y', 'z', 'grey')])
    np.save(tmp_path / 'scan.npy', array)
    with pytest.raises(ValueError, match=r'scan\.npy has no intensity .*: grey; rename'):
        read_scan(tmp_path / 'scan.npy')


FULL_HEADER = {
    '# .PCD v.7 - Point Cloud Data file format': '',
    'VERSION': '.7',
    'FIELDS': 'x y z intensity',
    'SIZE': '4 4 4 4',
    'TYPE': 'F F F F',
    'COUNT': '1 1 1 1',
    'WIDTH': '3',
    'HEIGHT': '1',
    'VIEWPOINT': '0 0 0 1 0 0 0',
    'POINTS': '3',
}
HEADERS = {
    'complete': {},
    'no COUNT': dict(COUNT=None),
    'no VIEWPOINT and no VERSION': dict(VIEWPOINT=None, VERSION=None),
    'no POINTS': dict(POINTS=None),
    'no WIDTH and no HEIGHT': dict(WIDTH=None, HEIGHT=None),
    'rows and columns': dict(WIDTH='1', HEIGHT='3', POINTS=None),
    'lower case': dict(TYPE='f f f f', FIELDS='X Y Z Intensity'),
    'COLUMNS': dict(FIELDS=None, COLUMNS='x y z intensity'),
    'padding without a value': dict(
        FIELDS='x _ y z intensity _', SIZE='4 1 4 4 4 2', TYPE='F U F F F I', COUNT='1 0 1 1 1 0'
    ),
    'a name in brackets': dict(FIELDS='x y z intensity', ORIGIN='[lidar]', A='1', B='2', C='3'),
}


def written_header(changes, kind, end='\n'):
    lines = {**FULL_HEADER, **changes, 'DATA': kind}
    text = ''.join(f'{k} {v}'.strip() + end for k, v in lines.items() if v is not None)
    return text.encode()


@pytest.mark.parametrize('end', ['\n', '\r\n'])
@pytest.mark.parametrize('kind', ['ascii', 'binary', 'binary_compressed'])
@pytest.mark.parametrize('name', HEADERS)
def test_headers_of_pcd(name, kind, end, tmp_path):
    """Values by struct and NumPy; LZF may keep bytes as they are, after their number less one."""
    content = POINTS.tobytes()
    if kind == 'ascii':
        # Spaces, tabs and a blank line, as programs write them.
        lines = ['\t'.join(f'{value:g} ' for value in row) for row in POINTS]
        content = f'{end}{end.join(lines)}'.encode()
    elif kind == 'binary_compressed':
        columns = POINTS.T.tobytes()
        packed = b''.join(
            bytes([len(columns[i : i + 32]) - 1]) + columns[i : i + 32]
            for i in range(0, len(columns), 32)
        )
        content = struct.pack('<II', len(packed), len(columns)) + packed
    path = tmp_path / 'scan.pcd'
    path.write_bytes(written_header(HEADERS[name], kind, end) + content)
    np.testing.assert_array_equal(read_scan(path), POINTS)


def test_values_of_pcd_beside_others(tmp_path):
    """Doubles, padding that is named twice, and a descriptor of several values."""
    form = '<d3xhfdB2fd'
    rows = [struct.pack(form, x, 7, i, y, 9, 5.0, 6.0, z) for x, y, z, i in POINTS.tolist()]
    changes = dict(
        FIELDS='x _ ring intensity y _ fpfh z',
        SIZE='8 1 2 4 8 1 4 8',
        TYPE='F U I F F U F F',
        COUNT='1 3 1 1 1 1 2 1',
    )
    (tmp_path / 'scan.pcd').write_bytes(written_header(changes, 'binary') + b''.join(rows))
    np.testing.assert_array_equal(read_scan(tmp_path / 'scan.pcd'), POINTS)


def test_one_point_in_text(tmp_path):
    changes = dict(WIDTH='1', POINTS='1', TYPE='F F F U')
    (tmp_path / 'scan.pcd').write_bytes(written_header(changes, 'ascii') + b'1.5 -2 0.25 10.0\n')
    np.testing.assert_array_equal(read_scan(tmp_path / 'scan.pcd'), POINTS[:1])


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(FIELDS=None), 'its header has no line FIELDS'),
        (dict(SIZE=None), 'its header has no line SIZE'),
        (dict(POINTS=None, WIDTH=None), 'its header has no line POINTS'),
        (
            dict(SIZE='4 4 4'),
            "line 'SIZE 4 4 4' of its header was not understood, expected 4 whole",
        ),
        (dict(COUNT='1 1 1 -1'), "the line 'COUNT 1 1 1 -1' of its header was not"),
        (dict(POINTS='many'), "the line 'POINTS many' of its header was not understood"),
        (dict(TYPE='F F F X'), "'TYPE F F F X' and 'SIZE 4 4 4 4' of its header were not"),
        (dict(SIZE='4 4 4 3'), "'SIZE 4 4 4 3' of its header were not understood"),
        (dict(FIELDS='x y intensity _'), "no field 'z'"),
        (dict(POINTS='4'), 'its header says 4 points, but it has 3'),
    ],
)
def test_lines_of_pcd_that_are_not_understood(changes, message, tmp_path):
    rows = '\n'.join(' '.join(map(str, row)) for row in POINTS)
    (tmp_path / 'scan.pcd').write_bytes(written_header(changes, 'ascii') + rows.encode())
    with pytest.raises(ValueError, match=r'scan\.pcd is damaged or no PCD') as caught:
        read_scan(tmp_path / 'scan.pcd')
    assert message in str(caught.value)
    (tmp_path / 'scan.pcd').write_bytes(written_header({}, 'zipped') + rows.encode())
    with pytest.raises(ValueError, match="the line 'DATA zipped' of its header was not understood"):
        read_scan(tmp_path / 'scan.pcd')


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


@pytest.mark.parametrize(
    ('change', 'median'),
    [
        (lambda xyz: xyz + [500_000, 5_400_000, 100], 5_423_101),  # UTM
        (lambda xyz: xyz * 1000, 20_000),
        (lambda xyz: xyz * 100, 2_000),
    ],
)
def test_coordinates_of_a_map_and_other_units_are_told_from_those_of_a_scan(change, median):
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(5000, 3)) * [1, 1, 0]
    xyz = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    xyz *= rng.uniform(0.5, 39.5, (5000, 1))  # 20 m in the median, some on the vehicle
    assert frame_fault(xyz) is None
    assert frame_fault(np.r_[xyz, np.full((9000, 3), np.nan), np.zeros((9000, 3))]) is None
    fault = frame_fault(change(xyz).astype(np.float32))
    [told] = re.findall(r'farther than (\d+) m', fault)
    assert int(told) == pytest.approx(median, rel=0.05)


@pytest.mark.parametrize(
    'mark', [(65535.0, 0, 0), (1, 0, 0), (-9999, -9999, -9999), (1e9, 1e9, 1e9)]
)
def test_marks_of_points_that_were_not_measured_are_no_other_layout(mark):
    parts = cloud(4000)
    rows = np.c_[parts['xyz'], parts['i']].astype(np.float32)
    rows[1::2, :3] = mark
    assert layout_fault(rows) is None
    rows[:, 3] -= 0.5
    assert layout_fault(rows, least=-1) is None
    rows[np.random.default_rng(4).random(4000) < 0.3, 3] = -9999
    assert layout_fault(rows, least=-1) is None


def test_a_beam_that_always_meets_the_vehicle_is_no_other_layout():
    parts = cloud(4000)
    rows = np.c_[parts['xyz'], parts['i']].astype(np.float32)
    rows[::4, :2] = np.random.default_rng(3).uniform(-0.9, 0.9, (1000, 2))
    assert layout_fault(rows) is None


@pytest.mark.parametrize(
    ('form', 'least', 'columns'),
    [('transposed', -10, 4), ('transposed', 0, None), ('ixyz', 0, None)],
)
def test_a_transposed_array_or_another_order(form, least, columns, tmp_path):
    parts = cloud(4000)
    rows = np.c_[parts['xyz'], parts['i']].astype(np.float32)
    other = rows.T.copy().reshape(-1, 4) if form == 'transposed' else rows[:, [3, 0, 1, 2]]
    assert f'intensities below {least}' in layout_fault(other, least)
    other.tofile(tmp_path / 'scan.bin')
    with pytest.raises(ValueError, match=r'--columns'):
        read_scan(tmp_path / 'scan.bin', columns)


@pytest.mark.parametrize(
    ('names', 'passes'),
    [
        ('x y z r', False),
        ('x y z r g b', True),
        ('x y z returnNumber NumberOfReturns timestamp_nsec', True),
        ('x y z CosAngle ObjIdx ObjTag', True),
        ('x y z brightness', False),
    ],
)
def test_fields_that_may_be_the_intensity(names, passes, tmp_path):
    rows = np.zeros(50, dtype=[(name, 'f4') for name in names.split()])
    rows['x'] = np.arange(50) + 0.5
    np.save(tmp_path / 'scan.npy', rows)
    if passes:
        assert not read_scan(tmp_path / 'scan.npy')[:, 3].any()
        return
    with pytest.raises(ValueError, match=f'fields that may be it: {names.split()[-1]};'):
        read_scan(tmp_path / 'scan.npy')
