"""Reading of info files."""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from mmengine.fileio import load


def require_info_file(path: str, create_command: str) -> None:
    """Raise FileNotFoundError, with the command that makes it, where an info file is missing."""
    if not osp.isfile(path):
        raise FileNotFoundError(f'The info file {path} is missing; it is made by {create_command}.')


def join_inside(
    folder: str, path: str, outside_root: bool | None = None, source: str | None = None
) -> str:
    """Join a folder of the config and a path of an info file or a table.

    The path alone is looked at, not the disk: symbolic links inside of the folder are followed,
    also out of it, for data are commonly linked into it from other disks. Whoever can make links
    there has access to the data root already; a file that lists paths cannot.

    Args:
        folder: from the config.
        path: from a file that may come from elsewhere.
        outside_root: whether it may lead out of the folder, as the data set's argument of that
            name says; None where there is no such argument: it may not.
        source: that file, which the error names; None where the caller names it.

    Raises:
        ValueError: if it does and may not, or is no text.
    """
    if not isinstance(path, str):
        message = f'a path must be a text, got {type(path).__name__}'
        raise ValueError(message if source is None else f'{source}: {message}.')
    if not outside_root and (
        osp.isabs(path) or '://' in path or osp.normpath(path).split(os.sep)[0] == os.pardir
    ):
        message = f'the path {path} leads out of {folder or "the data root"}'
        if outside_root is not None:
            message += '; set outside_root=True of the data set if you trust the info file'
        raise ValueError(message if source is None else f'{source}: {message}.')
    return osp.join(folder, path)


def check_sample(entry: object, path: str) -> str:
    """Raise ValueError unless an entry of an info file is a dict with a ``sample_idx``.

    Args:
        entry: it.
        path: the info file.

    Returns:
        What messages call it. Of other kinds of values none is in a message: as a text, a few bytes
        of lists that are there twice may have no end.
    """
    if not isinstance(entry, dict):
        raise ValueError(f'{path}: a sample must be a dict, got {type(entry).__name__}.')
    if 'sample_idx' not in entry:
        raise ValueError(f"{path}: a sample lacks the field 'sample_idx'.")
    for key in ('sample_idx', 'token', 'scene', 'timestamp'):
        value = entry.get(key, '')
        known = value is not None or key == 'sample_idx'
        if known and not isinstance(value, str | int | float | np.number):
            raise ValueError(
                f'{path}: {key} of a sample must be a number or a name, got {type(value).__name__}.'
            )
    return f'{path}: the sample {entry["sample_idx"]}'


@contextmanager
def reading_infos(path: str, create_command: str) -> Iterator[None]:
    """Turn errors of reading an info file into one ValueError that names it.

    Those that are OSErrors, or name it already, pass.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # unpickling what is no pickle may raise anything
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(
            f'The info file {path} cannot be read, it is cut short, damaged or no '
            f'info file: {error!r}; it is made by {create_command}.'
        ) from error


def read_infos(path: str, create_command: str) -> dict:
    """Read an info file and check its outer form.

    Args:
        path: the info file.
        create_command: what makes it, for the errors.

    Returns:
        ``dict(metainfo=dict(...), data_list=[...])`` with at least one entry.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, has another form, or lists no sample.
    """
    require_info_file(path, create_command)
    with reading_infos(path, create_command):
        infos = load(path)
    if (
        not isinstance(infos, dict)
        or not isinstance(infos.get('metainfo'), dict)
        or not isinstance(infos.get('data_list'), list)
    ):
        raise ValueError(
            f"The info file {path} must hold a dict with the dict 'metainfo' and the "
            f"list 'data_list'; it is made by {create_command}."
        )
    if not infos['data_list']:
        raise ValueError(f'The info file {path} lists no sample.')
    return infos
