"""Files that are more than they seem."""

import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from nclr_mm.apis import rig_frames
from nclr_mm.apis.calibration import given_image
from nclr_mm.calibration import Intrinsics
from nclr_mm.datasets.checks import (
    MAX_PIXELS,
    as_numbers,
    check_rigid,
    image_size,
    in_frame_order,
    read_image,
    read_label_archive,
)
from nclr_mm.datasets.converters import common
from nclr_mm.datasets.scans import read_scan
from nclr_mm.datasets.transforms import LoadLidarPoints
from nclr_mm.datasets.transforms.labels import read_labels
from tests.memory import at_most


def write_archive(path, header, content=b'', method=zipfile.ZIP_DEFLATED, version=1):
    """An archive with one array of a header of one's own."""
    text = header.encode().ljust(118) + b'\n'
    size = struct.pack('<H' if version == 1 else '<I', len(text))
    member = bytes([*b'\x93NUMPY', version, 0]) + size + text + content
    with zipfile.ZipFile(path, 'w', method) as archive:
        archive.writestr('data.npy', member)
    return path


def header_of(number, descr='<u2'):
    return repr({'descr': descr, 'fortran_order': False, 'shape': (number,)})


def test_labels_are_read(tmp_path):
    labels = np.arange(7, dtype=np.uint16)
    np.savez_compressed(tmp_path / 'a.npz', data=labels)
    np.testing.assert_array_equal(read_label_archive(tmp_path / 'a.npz', 7), labels)
    # The oracle of the archives below: with a true header they are read.
    path = write_archive(tmp_path / 'b.npz', header_of(7), labels.tobytes())
    np.testing.assert_array_equal(read_label_archive(path, 7), labels)


BOMBS = {
    'of more labels': (
        lambda path: np.savez_compressed(path, data=np.zeros(16_000_000, np.uint16)),
        r'a\.npz labels 16000000 points, but scan\.bin has 7\.$',
    ),
    'of long texts': (
        lambda path: np.savez_compressed(path, data=np.zeros(7, '<U1000000')),
        r'expected whole numbers of the shape \(N,\), got <U1000000 \(7,\)',
    ),
    'of many columns': (
        lambda path: np.savez_compressed(path, data=np.zeros((7, 2_000_000), np.uint16)),
        r'expected whole numbers .* got uint16 \(7, 2000000\)',
    ),
    'of records': (
        lambda path: np.savez_compressed(path, data=np.zeros(7, [('a', 'u1', 4_000_000)])),
        r'expected whole numbers of the shape \(N,\)',
    ),
    'with a long header': (
        lambda path: write_archive(path, header_of(7).ljust(30_000_000), bytes(14), version=2),
        r'of the version 2\.0 of \.npy, expected 1\.0',
    ),
    'that unpacks in whole blocks': (
        lambda path: write_archive(path, header_of(7), bytes(30_000_000), zipfile.ZIP_BZIP2),
        r'not compressed as NumPy does it',
    ),
}


@pytest.mark.parametrize('name', BOMBS)
def test_archives_that_are_more_than_labels(name, tmp_path):
    write, message = BOMBS[name]
    write(tmp_path / 'a.npz')
    assert (tmp_path / 'a.npz').stat().st_size < 100_000
    with at_most(2), pytest.raises(ValueError, match=message):
        read_labels(str(tmp_path / 'a.npz'), 7, 'scan.bin')


def test_what_follows_the_labels_is_not_unpacked(tmp_path):
    labels = np.arange(7, dtype=np.uint16)
    path = write_archive(tmp_path / 'a.npz', header_of(7), labels.tobytes() + bytes(30_000_000))
    with at_most(2):
        np.testing.assert_array_equal(read_label_archive(path, 7), labels)


def sparse(path, size, begin=b''):
    """A file that takes no room on the disk."""
    with path.open('wb') as file:
        file.write(begin)
        file.truncate(size)
    return path


def test_files_that_are_too_large_are_not_read(tmp_path):
    begin = cv2.imencode('.png', np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    image = sparse(tmp_path / 'a.png', 2**40, begin)
    scan = sparse(tmp_path / 'a.bin', 2**40)
    load = LoadLidarPoints()
    for read in (
        lambda: read_image(image),
        lambda: read_scan(scan),
        lambda: load(dict(lidar_points=dict(lidar_path=str(scan)))),
    ):
        with at_most(2), pytest.raises(ValueError, match=r'a\.(png is larger|bin is no scan)'):
            read()


@pytest.mark.parametrize(('name', 'labels'), [('a.label', 2**30), ('a_lidarseg.bin', 2**32)])
def test_label_files_of_another_size_are_not_read(name, labels, tmp_path):
    path = sparse(tmp_path / name, 2**32)
    with (
        at_most(1),
        pytest.raises(ValueError, match=rf'{name} labels {labels} points, but the scan has 7\.$'),
    ):
        read_labels(str(path), 7)


@pytest.mark.parametrize(
    'header', ['(' * 200, '{' * 2000, "{'descr': '<u2'", '[' + '(' * 9000, '{[]: 1}']
)
def test_headers_that_cannot_be_read(header, tmp_path):
    path = write_archive(tmp_path / 'a.npz', header)
    with pytest.raises(ValueError, match=r'a\.npz is no readable \.npz file'):
        read_label_archive(path, 7)


@pytest.mark.parametrize('number', [10**6, 10**15, 10**30])
def test_an_array_that_says_it_is_larger_than_its_file(tmp_path, number):
    path = write_archive(tmp_path / 'a.npz', header_of(number), b'\0' * 20)
    with pytest.raises(ValueError, match=r'a\.npz is no readable \.npz file'):
        read_label_archive(path, number)
    with pytest.raises(ValueError, match=rf'a\.npz labels {number} points, but the scan has 7'):
        read_label_archive(path, 7)


def test_an_array_of_objects_runs_nothing(tmp_path):
    class Boom:
        def __reduce__(self):
            return (tmp_path / 'code_was_run').mkdir, ()

    pickled = pickle.dumps(np.array([Boom()], dtype=object))
    path = write_archive(tmp_path / 'a.npz', header_of(1, '|O'), pickled)
    with pytest.raises(ValueError, match=r'a\.npz is no readable \.npz file'):
        read_label_archive(path, 1)
    assert not (tmp_path / 'code_was_run').exists()
    with np.load(path, allow_pickle=True) as content:  # which would have run it
        content['data']
    assert (tmp_path / 'code_was_run').is_dir()


def write_png(path, width, height):
    """A black image, row by row."""
    rows = zlib.compressobj(9)
    pixels = b''.join(rows.compress(bytes(1 + width)) for _ in range(height)) + rows.flush()
    with path.open('wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n')
        head = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
        for kind, content in ((b'IHDR', head), (b'IDAT', pixels), (b'IEND', b'')):
            file.write(struct.pack('>I', len(content)) + kind + content)
            file.write(struct.pack('>I', zlib.crc32(kind + content)))
    return path


READERS = {
    'of no known size': read_image,
    'of that size': lambda path: read_image(path, size=said_size(path)),
    'calibrate': lambda path: given_image(str(path), '0'),
    'a rig': lambda path: rig_frames.read_camera(Intrinsics(np.eye(3), np.zeros(0)), path),
    'create_data': common.check_image,
    'create_data, the size': common.image_size,
}


def said_size(path):
    return struct.unpack('>II', path.read_bytes()[16:24])


@pytest.fixture(scope='module', params=[(16000, 16000), (8193, 8192), (2**26, 2)], ids=str)
def large(request, tmp_path_factory):
    return write_png(tmp_path_factory.mktemp('large') / 'a.png', *request.param)


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_large_images_are_not_decoded(reader, large):
    assert large.stat().st_size < 300_000
    message = r'a\.png is too large, an image may have 67108864 pixels: '
    with at_most(8), pytest.raises(ValueError, match=message):
        READERS[reader](large)


def test_the_largest_image_is_decoded(tmp_path):
    assert MAX_PIXELS == 8192 * 8192
    assert read_image(write_png(tmp_path / 'a.png', 8192, 8192)).shape == (8192, 8192, 3)


def test_an_image_of_another_size_is_not_decoded(tmp_path):
    path = write_png(tmp_path / 'a.png', 4000, 4000)
    with (
        at_most(2),
        pytest.raises(
            ValueError, match=r'a\.png is 4000x4000, but its calibration is for 400x300\.$'
        ),
    ):
        read_image(path, size=(400, 300))
    with at_most(2), pytest.raises(ValueError, match='its calibration is for 4000x3999'):
        rig_frames.read_camera(Intrinsics(np.eye(3), np.zeros(0), size=(4000, 3999)), path)


@pytest.mark.parametrize('form', ['png', 'jpg', 'bmp', 'tiff', 'webp', 'jp2', 'ppm'])
@pytest.mark.parametrize('orientation', [None, 6])
def test_headers_have_the_size_that_is_decoded(form, orientation, tmp_path):
    """Pillow reads the header, OpenCV the pixels; a tag may turn the image in one of them."""
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / f'a.{form}'
    if orientation is None:
        assert cv2.imwrite(str(path), noise)
    else:
        exif = Image.Exif()
        exif[0x112] = orientation
        Image.fromarray(noise).save(path, exif=exif)
    height, width = image_size(path)
    assert read_image(path).shape == (height, width, 3)
    if (form, orientation) == ('tiff', 6):
        with pytest.raises(ValueError, match=r'a\.tiff is 48x64, but was decoded as 32x24; store'):
            read_image(path, cv2.IMREAD_REDUCED_COLOR_2, (width, height))
    else:
        half = read_image(path, cv2.IMREAD_REDUCED_COLOR_2, (width, height))
        assert half.shape == (height // 2, width // 2, 3)


@pytest.mark.parametrize('bits', [8, 10, 12, 14, 16])
@pytest.mark.parametrize(('form', 'channels'), [('png', 1), ('png', 3), ('png', 4), ('tiff', 3)])
def test_bits_that_a_file_of_16_bits_holds(form, channels, bits, tmp_path):
    """The same picture of 8 bits comes out, whatever the depth of its file."""
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, channels), dtype=np.uint8)
    picture[0, 0] = 255
    path = tmp_path / f'a.{form}'
    assert cv2.imwrite(str(path), picture.astype(np.uint16) * 2 ** (bits - 8))
    expected = np.repeat(picture, 3, axis=2) if channels == 1 else picture[..., :3]
    np.testing.assert_array_equal(read_image(path), expected)
    for by, flag in ((2, cv2.IMREAD_REDUCED_COLOR_2), (8, cv2.IMREAD_REDUCED_COLOR_8)):
        assert cv2.imwrite(str(tmp_path / 'plain.png'), picture)
        plain = read_image(tmp_path / 'plain.png', flag).astype(int)
        reduced = read_image(path, flag)
        assert reduced.dtype == np.uint8 and reduced.shape == (48 // by, 64 // by, 3)
        np.testing.assert_allclose(reduced, plain, atol=1)


@pytest.mark.parametrize('form', ['png', 'jpg', 'bmp', 'tiff', 'webp'])
def test_images_of_8_bits_are_as_opencv_reads_them(form, tmp_path):
    path = tmp_path / f'a.{form}'
    for channels in (1, 3):
        dark = np.random.default_rng(0).integers(0, 90, (48, 64, channels), dtype=np.uint8)
        assert cv2.imwrite(str(path), dark)
        for flag in (cv2.IMREAD_COLOR, cv2.IMREAD_REDUCED_COLOR_4):
            np.testing.assert_array_equal(read_image(path, flag), cv2.imread(str(path), flag))


@pytest.mark.parametrize('form', ['f4', 'i4', 'i2'])
def test_images_of_other_numbers(form, tmp_path):
    path = tmp_path / 'a.tiff'
    assert cv2.imwrite(str(path), np.arange(12).reshape(3, 4).astype(form))
    with pytest.raises(ValueError, match=r'a\.tiff is not a readable image of 8 or 16 bits'):
        read_image(path)


def paths_of(*names):
    return [Path('folder', name) for name in names]


@pytest.mark.parametrize(
    'names',
    [
        ('0.bin', '1.bin', '2.bin', '10.bin', '11.bin', '100.bin'),
        ('000000.png', '000001.png', '000010.png'),
        ('frame2.pcd', 'frame10.pcd', 'frame11.pcd'),
        ('1_9.bin', '1_10.bin', '2_1.bin', 'a1.bin'),
        ('1533151603.5.bin', '1533151603.547.bin', '1533151603.6.bin', '1533151604.bin'),
        ('99999999999999999998.bin', '99999999999999999999.bin', '100000000000000000000.bin'),
    ],
)
def test_files_in_the_order_of_their_numbers(names):
    paths = paths_of(*names)
    for order in (paths, paths[::-1], paths[1::2] + paths[::2]):
        assert in_frame_order(iter(order)) == paths


@pytest.mark.parametrize(
    ('one', 'other'),
    [
        ('000012.bin', '12.bin'),
        ('a01b2.bin', 'a1b02.bin'),
        ('7.bin', '7.pcd'),
    ],
)
def test_two_files_of_one_frame(one, other):
    with pytest.raises(ValueError, match=r'folder has two files of the frame .*: ') as caught:
        in_frame_order(paths_of(other, '3.bin', one))
    assert str(caught.value).endswith(f'{one} and {other}.')


def test_decimals_may_number_frames_of_a_sequence():
    names = ['0.1.bin', '0.10.bin', '0.2.bin']
    assert in_frame_order(paths_of(*reversed(names))) == paths_of(*names)


def doubled(levels):
    """Lists of the same list twice; as many numbers as 2 to the power of the levels."""
    values = [1.0, 2.0]
    for _ in range(levels):
        values = [values, values]
    return values


def test_lists_without_end_are_no_numbers():
    np.testing.assert_array_equal(as_numbers(doubled(2)), np.array(doubled(2)))
    for values in (doubled(3), doubled(60), [1.0, doubled(60)], [[[1.0]], [[doubled(60)]]]):
        with pytest.raises(ValueError, match='nested too deep'):
            as_numbers(values)
    row = [0.0] * 2000
    with pytest.raises(ValueError, match='too long'):
        as_numbers([[row] * 2000] * 2000)
    with pytest.raises(ValueError, match=r'some\.json is not a 4x4 matrix of numbers'):
        check_rigid([[0, 0, 0, doubled(60)]] * 4, 'some.json')
