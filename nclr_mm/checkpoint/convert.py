"""Reading, converting and writing of checkpoint files."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from nclr_mm.reading import Weights, find_weights, load_checkpoint
from nclr_mm.writing import write_whole

from .layouts import block_depths, from_openpcdet, is_of_mmdet3d, is_of_openpcdet, to_openpcdet


@dataclass(frozen=True)
class Conversion:
    """One direction.

    Attributes:
        source: what it reads, in words.
        key: field of the file that usually holds the tensors.
        wanted: tells the names that it reads.
        new_key: field of the file that is written.
        rename: tensors to tensors and the new names.
    """

    source: str
    key: str
    wanted: Callable[[str], bool]
    new_key: str
    rename: Callable[[Mapping[str, Tensor]], tuple[dict[str, Tensor], dict[str, str]]]


CONVERSIONS = {
    'nclr-to-openpcdet': Conversion(
        "this project's or mmdet3d's VoxelNet",
        'state_dict',
        is_of_mmdet3d,
        'model_state',
        to_openpcdet,
    ),
    'openpcdet-to-mmdet3d': Conversion(
        "OpenPCDet's SECOND or PV-RCNN",
        'model_state',
        is_of_openpcdet,
        'state_dict',
        from_openpcdet,
    ),
    'official-to-mmdet3d': Conversion(
        'the official NCLR release, VoxelNet',
        'state_dict',
        partial(is_of_openpcdet, prefix='encoder.'),
        'state_dict',
        partial(from_openpcdet, prefix='encoder.'),
    ),
}


def looks_like_checkpoint(path: str | Path) -> bool:
    """Whether a file begins as those of torch.save do, which are zip archives or old pickles."""
    path = Path(path)
    if not path.is_file():
        return False
    with open(path, 'rb') as file:
        return file.read(4).startswith((b'PK\x03\x04', b'\x80'))


def read_checkpoint(path: str | Path, key: str) -> OrderedDict[str, Tensor]:
    """The tensors of :func:`read_weights`, where no model says which names it wants."""
    return read_weights(path, key).tensors


def read_weights(
    path: str | Path, key: str = 'state_dict', wanted: Callable[[str], bool] | None = None
) -> Weights:
    """Read the weights of a checkpoint without running code from it, or making more than it holds.

    Args:
        path: file of ``torch.save``.
        key: field that usually holds the tensors.
        wanted: tells the names of the tensors, as in :func:`nclr_mm.reading.find_weights`, which
            finds them in other fields and behind prefixes too.

    Returns:
        The tensors by name, with the versions of their modules, and how they were wrapped.

    Raises:
        FileNotFoundError, ValueError: one sentence naming the file, and what it needs.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist; expected a checkpoint.')
    if not looks_like_checkpoint(path):
        raise ValueError(f'{path} is not a checkpoint of torch.save.')
    content = load_checkpoint(path, 'cpu')
    usual = content.get(key) if isinstance(content, Mapping) else None
    if isinstance(usual, Mapping) and not all(isinstance(name, str) for name in usual):
        raise ValueError(f'{path} has tensors in {key!r} that are not called by names.')
    weights = find_weights(content, wanted, key)
    if weights is None:
        fields = type(content).__name__
        if isinstance(content, Mapping):
            fields = ', '.join(
                [*map(str, list(content)[:8]), *(['...'] if len(content) > 8 else [])]
            )
        raise ValueError(f'{path} has no field {key!r} with tensors; it holds {fields}.')
    return weights


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
    if Path(target).is_dir():
        raise ValueError(f'{target} is a folder; expected the name of a file to write.')
    state, _, wrapping = read_weights(source, conversion.key, conversion.wanted)
    named = f'{source} ({wrapping})' if wrapping else str(source)
    try:
        tensors, names = conversion.rename(state)
    except ValueError as error:
        raise ValueError(f'{named} cannot be converted as {conversion.source}: {error}') from error
    write_whole(target, serialised({conversion.new_key: _with_versions(tensors)}))
    table = _table(state, tensors, names)
    return f'{table}\nFound in {named}.' if wrapping else table


def serialised(checkpoint: Mapping) -> bytes:
    """What torch.save makes of a checkpoint; into a file it would write the file's name, too."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()


def _with_versions(tensors: dict[str, Tensor]) -> OrderedDict:
    """Mark kernels as spconv 2's; mmdet3d turns round those without the mark."""
    state = OrderedDict(tensors)
    state._metadata = OrderedDict(  # type: ignore[attr-defined]
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
    depths = ' and '.join(map(str, block_depths(tensors).values()))
    rows.append(f'BEV blocks of {depths} convolutions.')
    return '\n'.join([*rows, f'{len(names)} tensors mapped, {len(left_over)} left over.'])
