"""Checkpoints to give away: weights alone, at half the size, named by their content."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor

from nclr_mm.writing import write_whole

from .convert import read_checkpoint, serialised

__all__ = ['publish']

# Statistics of batch norm span more than float16 does, and are few.
_EXACT = ('running_mean', 'running_var')


def publish(source: str | Path, target: str | Path) -> Path:
    """Write the weights of a checkpoint without optimiser, schedules and random states.

    Weights become float16; every loader of PyTorch, mmengine and this project gives them back to a
    float32 model by itself. The first eight digits of the file's SHA-256 are added to the name, as
    mmdet3d does.

    Args:
        source: checkpoint of a run.
        target: file to write, without those digits: ``NAME.pth`` becomes ``NAME-1a2b3c4d.pth``.

    Returns:
        The file that was written.

    Raises:
        FileNotFoundError, ValueError: naming the file or tensor at fault; nothing is written then.
    """
    target = Path(target)
    if target.suffix != '.pth':
        raise ValueError(f'{target} is no name for weights; expected NAME.pth.')
    state = read_checkpoint(source, 'state_dict')
    small = OrderedDict((name, _smaller(name, value, source)) for name, value in state.items())
    small._metadata = state._metadata  # type: ignore[attr-defined]
    content = serialised(dict(meta={}, state_dict=small))
    final = target.with_stem(f'{target.stem}-{hashlib.sha256(content).hexdigest()[:8]}')
    write_whole(final, content)
    return final


def _smaller(name: str, value: Tensor, source: str | Path) -> Tensor:
    if not torch.isfinite(value).all():
        raise ValueError(f'{source}: the tensor {name} is not finite; nothing is published.')
    if not value.is_floating_point() or name.endswith(_EXACT):
        return value
    small = value.half()
    if not torch.isfinite(small).all():
        raise ValueError(f'{source}: the tensor {name} is too large for float16.')
    return small
