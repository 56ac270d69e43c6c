"""Writing files below a data set's root, folders made as needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..mesh import Array


def write_bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_text(path: Path, lines: Sequence[str]) -> None:
    """Writes lines, each ended by a line feed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{line}\n' for line in lines))


def write_image(path: Path, image: Array, options: Sequence[int]) -> None:
    """Encodes an image by its file ending; raises OSError where OpenCV cannot."""
    done, code = cv2.imencode(path.suffix, image, list(options))
    if not done:
        raise OSError(f'{path}: OpenCV cannot encode this image')
    write_bytes(path, code.tobytes())


def numbers(values: Array) -> str:
    """Numbers in KITTI's notation, exact to 1e-12."""
    return ' '.join(f'{v:.12e}' for v in np.asarray(values).ravel())


def write_calib(path: Path, matrices: Mapping[str, Array], end: bool = False) -> None:
    """A KITTI calibration file: a name and a matrix (row by row) on each line."""
    lines = [f'{name}: {numbers(matrix)}' for name, matrix in matrices.items()]
    write_text(path, lines + ([''] if end else []))
