"""Checkpoints, read without trust: no code of theirs runs, and none is larger than its file.

`torch.load` with `weights_only=True` keeps code out, unless an environment variable turns that off
where a caller leaves it to the default. It does unpack a compressed archive to a thousand times its
size, and makes tensors of stride 0, whose one number is as many as the file says once it is copied.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import torch
from torch import Tensor

__all__ = ['CheckpointError', 'load_checkpoint']


class CheckpointError(ValueError):
    """A file is no checkpoint, or holds less than it would take in memory; the message names it."""


def load_checkpoint(file: str | os.PathLike | IO[bytes], map_location: Any = None) -> Any:
    """Read a file of `torch.save`, whose tensors must have room in it.

    Args:
        file: its path, or the open file.
        map_location: as of `torch.load`.

    Raises:
        CheckpointError: if it is cut off, or holds less than it would take in memory.
        pickle.UnpicklingError: if it holds more than tensors and what is on torch's list.
    """
    check_archive(file)
    content = torch.load(file, map_location=map_location, weights_only=True)
    check_tensors(content, file)
    return content


def check_archive(file: str | os.PathLike | IO[bytes]) -> None:
    """Raise CheckpointError for a zip archive that unpacks to more than it is, or is none.

    `torch.save` compresses nothing. Other files, those of old versions of it, pass.
    """
    if isinstance(file, str | os.PathLike):
        with open(file, 'rb') as opened:
            _check_archive(opened, str(file))
    else:
        start = file.tell()
        _check_archive(file, _name(file))
        file.seek(start)


def _check_archive(file: IO[bytes], name: str) -> None:
    start = file.tell()
    if file.read(4) != b'PK\x03\x04':
        return
    room = file.seek(0, os.SEEK_END) - start
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f'{name} is not a checkpoint of torch.save, or is cut off.'
        ) from error
    # The sum, for entries may also lie upon each other.
    size = sum(entry.file_size for entry in entries)
    if size > room or any(entry.file_size != entry.compress_size for entry in entries):
        raise CheckpointError(
            f'{name} is compressed: {room} bytes that unpack to {size}; expected a checkpoint as '
            'torch.save writes it.'
        )


def check_tensors(content: object, file: object) -> None:
    """Raise CheckpointError for a tensor that has more numbers than there are in its storage.

    Args:
        content: what was read; tensors are looked for in its dicts, lists and tuples.
        file: that it was read from.
    """
    seen: set[int] = set()  # what is there twice may be there without end
    left = [('', content)]
    while left:
        name, value = left.pop()
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.is_nested:
                continue
            size, room = value.numel() * value.element_size(), value.untyped_storage().nbytes()
            if size > room:
                raise CheckpointError(
                    f'{_name(file)}: the tensor {name} of the shape {tuple(value.shape)} takes '
                    f'{size} bytes, of which the file has {room}.'
                )
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
            left += [(key if isinstance(key, str) else name, item) for key, item in pairs]


def _name(file: object) -> str:
    return str(file) if isinstance(file, str | os.PathLike) else getattr(file, 'name', 'the file')
