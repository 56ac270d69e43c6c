"""Checkpoints, read without trust: no code of theirs runs, and none is larger than its file.

`torch.load` with `weights_only=True` keeps code out, unless an environment variable turns that off
where a caller leaves it to the default. It does unpack a compressed archive to a thousand times its
size, makes tensors of any size that are in no file (of stride 0, or of types that it lets a file
call), and hashes keys without end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import IO, Any

import torch
from torch import Tensor

from .archives import check_archive
from .pickle_keys import check_keys

__all__ = ['CheckpointError', 'load_checkpoint']

# Of the form before zip archives: its mark, version and system, the content, the storages' names.
_OLD_PICKLES = 5


class CheckpointError(ValueError):
    """A file is no checkpoint, or holds less than it would take in memory; the message names it."""


def load_checkpoint(file: str | os.PathLike | IO[bytes], map_location: Any = None) -> Any:
    """Read a file of `torch.save`, whose tensors must have room in it.

    Args:
        file: its path, or the open file.
        map_location: as of `torch.load`.

    Raises:
        CheckpointError: if it is cut off, or holds less than it would take in memory.
        pickle.UnpicklingError: if it holds more than tensors and what is on torch's list, or keys
            that would take for ever to hash.
    """
    if isinstance(file, str | os.PathLike):
        name = str(file)
        with open(file, 'rb') as opened:
            room = _check_file(opened, name)
    else:
        name = getattr(file, 'name', 'the file')
        start = file.tell()
        room = _check_file(file, name)
        file.seek(start)
    content = torch.load(file, map_location=map_location, weights_only=True)
    _check_tensors(content, name, room)
    return content


def _check_file(file: IO[bytes], name: str) -> int:
    """Look at what `torch.load` would read first; returns the bytes of the file."""
    start = file.tell()
    archived = file.read(4) == b'PK\x03\x04'
    room = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    if archived:
        try:
            check_archive(file)
        except ValueError as error:
            raise CheckpointError(
                f'{name} is not a checkpoint of torch.save, or is cut off: {error}.'
            ) from error
        file.seek(start)
        check_keys(torch._C.PyTorchFileReader(file).get_record('data.pkl'), of_torch=True)
    else:
        check_keys(file.read(), of_torch=True, pickles=_OLD_PICKLES)
    return room


def _check_tensors(content: object, file: str, room: int) -> None:
    """Raise CheckpointError for tensors that have more numbers than there are in their file.

    Args:
        content: what was read; tensors are looked for in its dicts, lists and tuples.
        file: name of the file that it was read from.
        room: bytes of it.
    """
    storages: dict[int, int] = {}  # bytes by address
    seen: set[int] = set()  # what is there twice may be there without end
    left = [('', content)]
    while left:
        name, value = left.pop()
        if isinstance(value, Tensor):
            if value.layout == torch.sparse_coo:
                left += [(name, value._indices()), (name, value._values())]
                continue
            if value.layout != torch.strided or value.is_nested:
                raise CheckpointError(
                    f'{file}: the tensor {name} is of the layout {value.layout}; expected '
                    'torch.strided or torch.sparse_coo.'
                )
            storage = value.untyped_storage()
            size = value.numel() * value.element_size()
            if size > storage.nbytes():
                raise CheckpointError(
                    f'{file}: the tensor {name} of the shape {tuple(value.shape)} takes {size} '
                    f'bytes, of which the file has {storage.nbytes()}.'
                )
            storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
            left += [(key if isinstance(key, str) else name, item) for key, item in pairs]
    if sum(storages.values()) > room:
        raise CheckpointError(
            f'{file} has {room} bytes, but its tensors take {sum(storages.values())}.'
        )
