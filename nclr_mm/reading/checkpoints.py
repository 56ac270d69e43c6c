"""Checkpoints, read without trust: no code of theirs runs, and none is larger than its file.

`torch.load` with `weights_only=True` keeps code out, unless an environment variable turns that off
where a caller leaves it to the default. It does unpack a compressed archive to a thousand times its
size, makes tensors of any size that are in no file (of stride 0, or of types that it lets a file
call), and hashes keys without end.
"""

from __future__ import annotations

import os
import re
from argparse import Namespace
from collections.abc import Mapping
from typing import IO, Any

import torch
from torch import Tensor

from .archives import check_archive
from .pickle_keys import check_keys

__all__ = ['CheckpointError', 'NoCheckpointError', 'load_checkpoint']

# Of the form before zip archives: its mark, version and system, the content, the storages' names.
_OLD_PICKLES = 5
# Bytes that a file's tensors may have beyond its storages; `meshgrid` and `expand` make such.
_SPREAD = 2**28
_UNSUPPORTED = re.compile(r'[Uu]nsupported (?:GLOBAL|(?:global|class)\S*(?: GLOBAL)?) (\S+)')
_WHY = re.compile(r'WeightsUnpickler error:\s*(.+)')


class CheckpointError(ValueError):
    """A file is no checkpoint, or none that is read or that fits; the message names the file."""


class NoCheckpointError(CheckpointError, FileNotFoundError):
    """There is no such file; the message names it."""


def load_checkpoint(file: str | os.PathLike | IO[bytes], map_location: Any = None) -> Any:
    """Read a file of `torch.save`, whose tensors must have room in it.

    Args:
        file: its path, or the open file.
        map_location: as of `torch.load`.

    Raises:
        CheckpointError: if it is none, is cut off, holds more than tensors, plain values and what
            is on torch's list, or less than it would take in memory.
        OSError: if it cannot be read.
    """
    if isinstance(file, str | os.PathLike):
        with open(file, 'rb') as opened:
            return load_checkpoint(opened, map_location)
    name = str(getattr(file, 'name', 'the file'))
    start = file.tell()
    try:
        room = _check_file(file, name)
        file.seek(start)
        content = torch.load(file, map_location=map_location, weights_only=True)
    except (CheckpointError, OSError):
        raise
    except Exception as error:  # what is no pickle may raise anything
        raise CheckpointError(_describe(error, name)) from error
    _check_tensors(content, name, room)
    return content


def _describe(error: Exception, name: str) -> str:
    """One sentence for an error of reading; torch's own are a page that advises to trust."""
    text = str(error)
    if refused := _UNSUPPORTED.search(text):
        return (
            f'{name} holds more than tensors and plain values ({refused[1].strip(".")}), and '
            'reading it would run code that it brings along. If you trust it, load it once with '
            'torch.load(path, weights_only=False), and save the fields that hold tensors alone.'
        )
    if why := _WHY.search(text):
        return f'{name} holds what is not read from a file without trust in it: {why[1].strip()}'
    reason = ' '.join(text.split())[:200] or type(error).__name__
    return f'{name} is not a checkpoint of torch.save, or is cut off: {reason}.'


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
    # By number, and kept, for numbers of what is gone are given again. What is there twice may be
    # there without end.
    seen: dict[int, object] = {}
    spread = 0
    left = [('', content)]
    while left:
        name, value = left.pop()
        if id(value) in seen:
            continue
        if isinstance(value, Tensor):
            seen[id(value)] = value
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
            spread += max(size - storage.nbytes(), 0)
            if spread > _SPREAD:
                raise CheckpointError(
                    f'{file}: the tensor {name} of the shape {tuple(value.shape)} takes {size} '
                    f'bytes, of which the file has {storage.nbytes()}.'
                )
            storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, Mapping | Namespace | list | tuple):
            seen[id(value)] = value
            value = vars(value) if isinstance(value, Namespace) else value
            pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
            left += [(key if isinstance(key, str) else name, item) for key, item in pairs]
    if sum(storages.values()) > room:
        raise CheckpointError(
            f'{file} has {room} bytes, but its tensors take {sum(storages.values())}.'
        )
