"""Reading, converting and writing of checkpoint files."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from .layouts import from_openpcdet, to_openpcdet


@dataclass(frozen=True)
class Conversion:
    """One direction.

    Attributes:
        source: what it reads, in words.
        key: field of the file that holds the tensors.
        new_key: field of the file that is written.
        rename: tensors to tensors and the new names.
    """

    source: str
    key: str
    new_key: str
    rename: Callable[[Mapping[str, Tensor]], tuple[dict[str, Tensor], dict[str, str]]]


CONVERSIONS = {
    'nclr-to-openpcdet': Conversion(
        "this project's or mmdet3d's VoxelNet", 'state_dict', 'model_state', to_openpcdet
    ),
    'openpcdet-to-mmdet3d': Conversion(
        "OpenPCDet's SECOND or PV-RCNN", 'model_state', 'state_dict', from_openpcdet
    ),
    'official-to-mmdet3d': Conversion(
        'the official NCLR release, VoxelNet',
        'state_dict',
        'state_dict',
        partial(from_openpcdet, prefix='encoder.'),
    ),
}


def read_checkpoint(path: str | Path, key: str) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint without running code from it.

    Args:
        path: file of ``torch.save``.
        key: field that holds the tensors.

    Returns:
        The tensors by name, without the prefix ``module.`` of distributed training.

    Raises:
        FileNotFoundError, ValueError: one sentence naming the file, and what it needs.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; expected a checkpoint.')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'{path} holds more than tensors and plain values, and reading it would run code that '
            'it brings along. If you trust it, load it once with torch.load(path, '
            f'weights_only=False), save dict({key}=...) alone and convert that file. '
            f'({str(error).splitlines()[0]})'
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(f'{path} is not a checkpoint of torch.save, or is cut off.') from error
    if not isinstance(content, Mapping) or not isinstance(content.get(key), Mapping):
        fields = sorted(map(str, content)) if isinstance(content, Mapping) else type(content)
        raise ValueError(f'{path} has no field {key!r} with tensors; it holds {fields}.')
    return {
        name.removeprefix('module.'): value
        for name, value in content[key].items()
        if isinstance(value, Tensor)
    }


def convert(direction: str, source: str | Path, target: str | Path) -> str:
    """Convert a checkpoint file.

    Args:
        direction: one of ``CONVERSIONS``.
        source: file to read.
        target: file to write; it appears when it is whole.

    Returns:
        A table of the tensors mapped and left over.

    Raises:
        FileNotFoundError, ValueError: naming the file at fault; nothing is written then.
    """
    conversion = CONVERSIONS[direction]
    state = read_checkpoint(source, conversion.key)
    try:
        tensors, names = conversion.rename(state)
    except ValueError as error:
        raise ValueError(f'{source} is not {conversion.source}: {error}') from error
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f'.{target.name}.{os.getpid()}.tmp')
    try:
        torch.save({conversion.new_key: _with_versions(tensors)}, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return _table(state, tensors, names)


def _with_versions(tensors: dict[str, Tensor]) -> OrderedDict:
    """Mark kernels as spconv 2's; mmdet3d turns round those without the mark."""
    state = OrderedDict(tensors)
    state._metadata = OrderedDict(
        (name.rpartition('.')[0], dict(version=2))
        for name, value in tensors.items()
        if value.dim() == 5
    )
    return state


def _table(
    state: Mapping[str, Tensor], tensors: Mapping[str, Tensor], names: Mapping[str, str]
) -> str:
    rows = [f'{old}  ->  {new}  {tuple(tensors[new].shape)}' for old, new in sorted(names.items())]
    left_over = sorted(set(state) - set(names))
    rows += [f'{name}  left over  {tuple(state[name].shape)}' for name in left_over]
    return '\n'.join([*rows, f'{len(names)} tensors mapped, {len(left_over)} left over.'])
