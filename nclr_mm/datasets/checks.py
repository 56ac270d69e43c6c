"""Checks that loaders, datasets and converters share."""

from __future__ import annotations

import struct
import zipfile
import zlib
from os import PathLike, fspath
from os.path import isdir, isfile

import cv2
import numpy as np

# Published calibrations are rounded to 7 to 12 digits; a wrong matrix is off by far more.
RIGID_TOLERANCE = 1e-3

# Bytes of an unpacked archive of labels: those of 500 million points.
MAX_UNPACKED = 2**30


#: what NumPy, zipfile and zlib raise for broken archives and other files
BROKEN_ARCHIVE: tuple[type[Exception], ...] = (
    *(OSError, EOFError, ValueError, KeyError, NotImplementedError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
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


def read_image(path: str | PathLike, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Read an image as uint8 BGR (H, W, 3).

    Grey images are repeated in the three channels, alpha is dropped, 16 bits become 8. An
    orientation tag is ignored: the calibration belongs to the pixels as they are stored.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be decoded.
    """
    if not isfile(path):
        what = 'is a folder' if isdir(path) else 'does not exist'
        raise FileNotFoundError(f'The image {fspath(path)} {what}.')
    with open(path, 'rb') as file:
        data = np.frombuffer(file.read(), dtype=np.uint8)
    image = None
    reason = ''
    if data.size:
        try:
            image = cv2.imdecode(data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error as error:  # of more pixels than OpenCV takes, 2^30
            reason = f': {error.err}'
    if image is None:
        raise ValueError(f'{fspath(path)} is not a readable image{reason}.')
    return image


def check_size(
    image: np.ndarray, size: tuple[int, int], path: str | PathLike, reduce: int = 1
) -> None:
    """Raise ValueError unless an image is of the (width, height) that its calibration is for.

    Args:
        image: (H, W, ...), decoded at 1 / ``reduce`` of its size.
        size: of the whole image.
        path: its file, which the message names.
        reduce: see above.
    """
    found = image.shape[1] * reduce, image.shape[0] * reduce
    if found != tuple(size):
        raise ValueError(
            f'{fspath(path)} is {found[0]}x{found[1]}, but its calibration is for '
            f'{size[0]}x{size[1]}.'
        )


def read_label_archive(path: str | PathLike) -> np.ndarray:
    """The array ``data`` of an ``.npz`` file, as panoptic nuScenes stores labels.

    Raises:
        ValueError: if it cannot be read, would unpack to more than ``MAX_UNPACKED`` bytes, or holds
            no such array.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_UNPACKED:
            raise ValueError(f'it unpacks to {unpacked} bytes, more than labels of any scan')
        with np.load(path, allow_pickle=False) as content:
            labels = content['data']
        len(labels)
        return labels
    except (*BROKEN_ARCHIVE, TypeError, AttributeError) as error:
        raise ValueError(
            f"{fspath(path)} is no readable .npz file with an array 'data' of labels: {error}."
        ) from error


def _finite(matrices: np.ndarray, shape: tuple[int, int], name: str) -> np.ndarray:
    try:
        matrices = np.asarray(matrices, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name} is not a {shape[0]}x{shape[1]} matrix of numbers.') from error
    if matrices.shape[-2:] != shape:
        raise ValueError(f'{name} must be {shape[0]}x{shape[1]}, got the shape {matrices.shape}.')
    if not np.isfinite(matrices).all():
        raise ValueError(f'{name} holds numbers that are not finite.')
    return matrices
