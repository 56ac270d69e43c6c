"""Checks that loaders, datasets and converters share."""

from __future__ import annotations

import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from os import PathLike, fspath
from os.path import getsize, isdir, isfile
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.lib import format as npy
from PIL import Image

# Published calibrations are rounded to 7 to 12 digits; a wrong matrix is off by far more.
RIGID_TOLERANCE = 1e-3

# Of an image: 8192 x 8192, 192 MiB when decoded. Cameras of vehicles have up to 12 million.
MAX_PIXELS = 2**26
# Four channels of 16 bits, and as much again for what else a file holds.
_MAX_PIXEL_BYTES = 16

_AS_STORED = cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH

# Of lists of matrices and boxes.
_MOST_NUMBERS = 1_000_000

#: what NumPy, zipfile and zlib raise for broken archives and other files
BROKEN_ARCHIVE: tuple[type[Exception], ...] = (
    *(OSError, EOFError, ValueError, KeyError, NotImplementedError, MemoryError, OverflowError),
    *(RecursionError, zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)


def check_rigid(matrices: np.ndarray, name: str) -> np.ndarray:
    """Raise ValueError unless ``matrices`` (..., 4, 4) are proper rigid motions.

    Args:
        name: what the message calls them, best with the file it is from.

    Returns:
        The matrices as float64.
    """
    matrices = _finite(matrices, (4, 4), name)
    rotation = matrices[..., :3, :3]
    gram = np.swapaxes(rotation, -1, -2) @ rotation
    rigid = (
        (np.abs(gram - np.eye(3)).max(axis=(-1, -2)) < RIGID_TOLERANCE)
        & (np.linalg.det(rotation) > 0)
        & (matrices[..., 3, :] == (0, 0, 0, 1)).all(axis=-1)
    )
    if not rigid.all():
        raise ValueError(
            f'{name} is not a rigid motion: expected an orthonormal rotation of determinant +1 '
            f'and the last row 0 0 0 1, got {matrices[~rigid].reshape(-1, 4, 4)[0].tolist()}.'
        )
    return matrices


def check_intrinsics(matrices: np.ndarray, name: str) -> np.ndarray:
    """Raise ValueError unless ``matrices`` (..., 3, 3) are camera matrices; else as float64."""
    matrices = _finite(matrices, (3, 3), name)
    valid = (
        (matrices[..., 0, 0] > 0)
        & (matrices[..., 1, 1] > 0)
        & (matrices[..., 1, 0] == 0)
        & (matrices[..., 2, :] == (0, 0, 1)).all(axis=-1)
    )
    if not valid.all():
        raise ValueError(
            f'{name} is not a camera matrix: expected [[fx, s, cx], [0, fy, cy], [0, 0, 1]] with '
            f'positive focal lengths, got {matrices[~valid].reshape(-1, 3, 3)[0].tolist()}.'
        )
    return matrices


def image_size(path: str | PathLike) -> tuple[int, int]:
    """(height, width) of an image from its header alone; nothing is decoded.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no readable image, or of more than ``MAX_PIXELS`` pixels.
    """
    if not isfile(path):
        what = 'is a folder' if isdir(path) else 'does not exist'
        raise FileNotFoundError(f'The image {fspath(path)} {what}.')
    limit = f'an image may have {MAX_PIXELS} pixels'
    try:
        with Image.open(path) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f'{fspath(path)} is too large, {limit}: {error}') from error
    except Exception as error:  # readers of damaged files raise whatever comes up
        raise ValueError(f'{fspath(path)} is not a readable image.') from error
    if width * height > MAX_PIXELS:
        raise ValueError(f'{fspath(path)} is too large, {limit}: it is {width}x{height}.')
    return height, width


def read_image(
    path: str | PathLike, flags: int = cv2.IMREAD_COLOR, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Read an image as uint8 BGR (H, W, 3).

    Grey images are repeated in the three channels, alpha is dropped. An orientation tag is
    ignored: the calibration belongs to the pixels as they are stored.

    16 bits become 8. Files of 16 bits may hold fewer, as cameras of 10, 12 or 14 bits write them,
    and do not say how many: it is the least of 8, 10, 12, 14 and 16 that holds the largest value,
    found for each image by itself. An image darker than a quarter of what its camera can give thus
    comes out brighter than its neighbours.

    Args:
        path: a file that Pillow, which reads its header, and OpenCV, which decodes it, know.
        flags: of OpenCV, which may ask for a reduced size.
        size: (width, height) of the whole image that its calibration is for; None if unknown.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another size or of more than ``MAX_PIXELS`` pixels, before it is
            decoded, or if it cannot be decoded or holds floats or integers of other sizes.
    """
    height, width = image_size(path)
    if size is not None and (width, height) != tuple(size):
        raise ValueError(
            f'{fspath(path)} is {width}x{height}, but its calibration is for {size[0]}x{size[1]}.'
        )
    if getsize(path) > _MAX_PIXEL_BYTES * MAX_PIXELS:
        raise ValueError(f'{fspath(path)} is larger than an image of {MAX_PIXELS} pixels can be.')
    with open(path, 'rb') as file:
        data = np.frombuffer(file.read(), dtype=np.uint8)
    try:
        image = cv2.imdecode(data, flags | _AS_STORED)
    except cv2.error as error:
        raise ValueError(f'{fspath(path)} is not a readable image: {error.err}.') from error
    if image is None:
        raise ValueError(f'{fspath(path)} is not a readable image of 8 or 16 bits a channel.')
    # OpenCV turns some TIFF files by their tags, and mistakes the size where it reduces them.
    if size is not None and image.shape[0] * width != image.shape[1] * height:
        raise ValueError(
            f'{fspath(path)} is {width}x{height}, but was decoded as {image.shape[1]}x'
            f'{image.shape[0]}; store it as it is seen, without a tag that turns it.'
        )
    if image.dtype == np.uint16:
        whole = image
        if image.shape[:2] != (height, width):  # the largest value may be lost in reducing
            whole = cv2.imdecode(data, cv2.IMREAD_COLOR | _AS_STORED)
        bits = next(bits for bits in (8, 10, 12, 14, 16) if whole.max() < 2**bits)
        return (image >> (bits - 8)).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ValueError(
            f'{fspath(path)} is not a readable image of 8 or 16 bits a channel: {image.dtype}.'
        )
    return image


def in_frame_order(paths: Iterable[Path]) -> list[Path]:
    """Files of a folder in the order of the numbers in their names: 2, 10; a2, a10; 1.25, 1.3.

    Raises:
        ValueError: if two files are of the same frame, as 12.bin and 000012.bin or 12.png are.
    """
    keyed = sorted((_frame_key(path.stem), path) for path in paths)
    for (key, path), (next_key, next_path) in pairwise(keyed):
        # Decimals may count, as in 0.1 and 0.10, or be those of seconds.
        if key == next_key and not ('.' in path.stem and path.stem != next_path.stem):
            raise ValueError(
                f'{path.parent} has two files of the frame {path.stem}: {path.name} and '
                f'{next_path.name}.'
            )
    return [path for _, path in keyed]


def _frame_key(stem: str) -> list:
    """Text and numbers in turn. Stamps in seconds may have decimals, of any number of digits."""
    parts = re.split(r'([0-9]+(?:\.[0-9]+)?)', stem)
    return [Decimal(part) if i % 2 else part for i, part in enumerate(parts)]


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array in NumPy's format; the file is left where its content begins.

    Raises:
        ValueError: if it is none, or of a later version than 1.0, whose headers may be of any size;
            NumPy writes these for names of fields beyond Latin-1.
    """
    version = npy.read_magic(file)
    if version != (1, 0):
        raise ValueError('it is of the version {}.{} of .npy, expected 1.0'.format(*version))
    shape, _, dtype = npy.read_array_header_1_0(file)
    return shape, dtype


def check_label_number(path: str | PathLike, labels: int, points: int, scan: str) -> None:
    """Raise ValueError unless a file has a label for each of the points of ``scan``."""
    if labels != points:
        raise ValueError(f'{fspath(path)} labels {labels} points, but {scan} has {points}.')


def read_label_archive(path: str | PathLike, points: int, scan: str = 'the scan') -> np.ndarray:
    """The array ``data`` of an ``.npz`` file, as panoptic nuScenes stores labels.

    The header of the array is read first; what does not fit is not unpacked.

    Args:
        path: the file.
        points: of the scan, N.
        scan: what the error calls it.

    Returns:
        (N,) integers.

    Raises:
        ValueError: if it cannot be read, holds no such array, or one of another number of labels.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            number = _number_of_labels(archive)
            labels = None
            if number == points:
                with archive.open('data.npy') as member:
                    labels = npy.read_array(member, allow_pickle=False)
    except (*BROKEN_ARCHIVE, TypeError) as error:  # a header may be any literal of Python
        raise ValueError(
            f"{fspath(path)} is no readable .npz file with an array 'data' of labels: {error}."
        ) from error
    check_label_number(path, number, points, scan)
    return labels


def _number_of_labels(archive: zipfile.ZipFile) -> int:
    entry = archive.getinfo('data.npy')
    # The other methods unpack blocks of any size at once; NumPy writes these two.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError('it is not compressed as NumPy does it')
    with archive.open(entry) as member:
        shape, dtype = read_npy_header(member)
    if len(shape) != 1 or dtype.kind not in 'iu':
        raise ValueError(f'expected whole numbers of the shape (N,), got {dtype} {shape}')
    return shape[0]


def as_numbers(values: object) -> np.ndarray:
    """The numbers of lists in lists, at most three deep, as a float64 array.

    Raises:
        TypeError, ValueError: if they are none. Pickles may hold lists of the same list twice, of
            the same list twice and so on, which for NumPy have no end.
    """
    level = [values]
    for _ in range(3):
        lists = [value for value in level if isinstance(value, list | tuple)]
        if sum(map(len, lists)) > _MOST_NUMBERS:
            break
        level = [value for one in lists for value in one]
    if any(isinstance(value, list | tuple) for value in level):
        raise ValueError('lists nested too deep, or too long')
    return np.array(values, dtype=np.float64)


def _finite(matrices: np.ndarray, shape: tuple[int, int], name: str) -> np.ndarray:
    try:
        matrices = as_numbers(matrices)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name} is not a {shape[0]}x{shape[1]} matrix of numbers.') from error
    if matrices.shape[-2:] != shape:
        raise ValueError(f'{name} must be {shape[0]}x{shape[1]}, got the shape {matrices.shape}.')
    if not np.isfinite(matrices).all():
        raise ValueError(f'{name} holds numbers that are not finite.')
    return matrices
