"""Writing files below a data set's root, folders made as needed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from nclr_mm.writing import write_whole

from ..mesh import Array


def write_text(path: Path, lines: Sequence[str]) -> None:
    """Writes lines, each ended by a line feed."""
    write_whole(path, ''.join(f'{line}\n' for line in lines).encode())


def write_image(path: Path, image: Array, options: Sequence[int]) -> None:
    """Encodes an image by its file ending; raises OSError where OpenCV cannot."""
    done, code = cv2.imencode(path.suffix, image, list(options))
    if not done:
        raise OSError(f'{path}: OpenCV cannot encode this image')
    write_whole(path, code.tobytes())


def write_archive(path: Path, data: Array) -> None:
    """Writes a compressed archive of NumPy with one array, ``data``."""
    content = io.BytesIO()
    np.savez_compressed(content, data=data)
    write_whole(path, content.getvalue())


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, a value on each line."""
    write_whole(path, json.dumps(content, indent=0).encode())


def numbers(values: Array) -> str:
    """Numbers in KITTI's notation, exact to 1e-12."""
    return ' '.join(f'{v:.12e}' for v in np.asarray(values).ravel())


def write_calib(path: Path, matrices: Mapping[str, Array], end: bool = False) -> None:
    """A KITTI calibration file: a name and a matrix (row by row) on each line."""
    lines = [f'{name}: {numbers(matrix)}' for name, matrix in matrices.items()]
    write_text(path, lines + ([''] if end else []))
