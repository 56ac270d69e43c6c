"""mmengine: a run cannot be resumed, and checkpoints cannot be loaded, with torch 2.6 and later.

Fault: `torch.load` reads with `weights_only=True` by default since torch 2.6 and then refuses
classes it does not know. mmengine's runner stores its message hub in every checkpoint: its
`HistoryBuffer`s hold numpy arrays and scalars, and their methods as `getattr(HistoryBuffer, name)`.
So does the state of `OneCycleLR` with its two shapes of the rise and fall. A dataset's metainfo is
kept as the config has it, with `ConfigDict`s where it nests dicts, as mmdet3d's of SemanticKITTI.
`argparse.Namespace`, which is no more than its attributes, holds the settings in DINO's files.

The protection stays on: only these classes are added to torch's list. `getattr` itself would let a
crafted file reach any attribute of any listed class, so it is replaced by a function that gives
these methods and nothing else.

NumPy trusts what it is made from and takes bytes for addresses when told to. So none of its own
names are on the list: stand-ins check what a file says, and make arrays and scalars of numbers. A
dtype alone would be left a stand-in; mmengine stores none.

Fault: mmengine calls `torch.load` without `weights_only`, so that the environment variable
`TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` turns the protection off, and a checkpoint runs code. Here its
loaders ask for it, and take no file that would take more memory than it holds (`nclr_mm.reading`).
From 0.11.0rc3 on they pass `weights_only=False`, which is ignored.

Holds for: mmengine up to 0.11.0rc3, torch 2.6 and later.
"""

import os
from argparse import Namespace
from math import prod
from pickle import UnpicklingError
from types import ModuleType
from typing import IO, Any, SupportsIndex

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner import checkpoint

from nclr_mm.reading import load_checkpoint

from .mmengine_files import DTypeStandIn, brief, check_content

_METHODS = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),  # its default statistics
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


def _known_method(owner: type, name: str):
    """Stand-in for `getattr` in checkpoints: one of the methods that they refer to."""
    known = isinstance(owner, type) and name in _METHODS.get(owner, ())
    if not known:
        raise UnpicklingError(f'checkpoints may not refer to {brief(name)} of {brief(owner)}')
    return getattr(owner, name)


class _NumberType(DTypeStandIn):
    """Stand-in for `numpy.dtype`: those of numbers and truth values."""

    kinds = '?biuf'


class _Numbers(np.ndarray):
    """Stand-in for `numpy.ndarray`: an array of numbers, which checks its state."""

    def __new__(cls, *arguments: object) -> '_Numbers':
        raise UnpicklingError('an array begins otherwise than NumPy writes it')

    def __setstate__(self, state: tuple) -> None:
        try:
            _, shape, dtype, in_columns, raw = state
            check_content(dtype, raw)
            if min(shape, default=0) < 0 or prod(shape) * dtype.dtype.itemsize != len(raw):
                raise UnpicklingError(f'{len(raw)} bytes are no array of the shape {shape}')
            super().__setstate__((1, shape, dtype.dtype, in_columns, raw))
        except (TypeError, ValueError, MemoryError) as error:  # too many dimensions: the last
            raise UnpicklingError(f'an array has a state that is not its own: {error}') from error

    def __array_wrap__(self, result: np.ndarray, *_: object) -> np.ndarray | np.generic:
        return np.asarray(result)[()]  # what is computed of it is of NumPy's own types

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple:
        return np.asarray(self).__reduce_ex__(protocol)  # saved again as any array


def _reconstruct(kind: object, shape: object, name: object) -> _Numbers:
    """Stand-in for NumPy's: an array that is to be given its state."""
    if kind is not _Numbers or shape != (0,) or name not in (b'b', 'b'):
        raise UnpicklingError('an array begins otherwise than NumPy writes it')
    return np.ndarray.__new__(_Numbers, (0,), np.int8)


def _scalar(dtype: object, raw: object) -> np.generic:
    """Stand-in for NumPy's: a number of bytes."""
    check_content(dtype, raw)
    if len(raw) != dtype.dtype.itemsize:
        raise UnpicklingError(f'{len(raw)} bytes are no {dtype.dtype}')
    return np.frombuffer(raw, dtype.dtype)[0]


def _plain_dict(content: object) -> dict:
    """Stand-in for mmengine's `ConfigDict`: a plain dict of what it holds."""
    if type(content) is not dict:
        raise UnpicklingError(f'a ConfigDict is made of {type(content).__name__}')
    return content


def _no_bytes() -> bytes:
    """Stand-in for `bytes`: the content of an array of none."""
    return b''


def _safe_globals() -> list:
    names = [*_METHODS, (_known_method, 'builtins.getattr')]
    names += [(_Numbers, 'numpy.ndarray'), (_NumberType, 'numpy.dtype')]
    names += [(_no_bytes, 'builtins.bytes'), Namespace]
    names += [(_plain_dict, 'mmengine.config.config.ConfigDict')]
    # `numpy.core` became `numpy._core` in numpy 2; a checkpoint of either may be loaded.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        names += [(_reconstruct, f'{module}._reconstruct'), (_scalar, f'{module}.scalar')]
    return names


def _load(
    file: str | os.PathLike | IO[bytes],
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
) -> Any:
    """Stand-in for `torch.load`; whatever else it is asked for, it reads without trust."""
    return load_checkpoint(file, map_location)


class _Torch(ModuleType):
    """Stand-in for `torch` in mmengine's module of loaders, of which five call `torch.load`."""

    load = staticmethod(_load)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def apply() -> None:
    """Add to torch's list what mmengine's checkpoints hold; have its loaders ask for no more."""
    torch.serialization.add_safe_globals(_safe_globals())
    if checkpoint.torch is torch:
        checkpoint.torch = _Torch('torch')
