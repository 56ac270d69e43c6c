"""mmengine: a run cannot be resumed, and checkpoints cannot be loaded, with torch 2.6 and later.

Fault: `torch.load` reads with `weights_only=True` by default since torch 2.6 and then refuses
classes it does not know. mmengine's runner stores its message hub in every checkpoint: its
`HistoryBuffer`s hold numpy arrays and scalars, and their methods as `getattr(HistoryBuffer, name)`.
So does the state of `OneCycleLR` with its two shapes of the rise and fall.

The protection stays on: only these classes are added to torch's list. `getattr` itself would let a
crafted file reach any attribute of any listed class, so it is replaced by a function that gives
these methods and nothing else.

Holds for: mmengine up to 0.10.7, torch 2.6 and later.
"""

from pickle import UnpicklingError

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

_METHODS = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),  # its default statistics
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


def _known_method(owner: type, name: str):
    """Stand-in for `getattr` in checkpoints: one of the methods that they refer to."""
    known = isinstance(owner, type) and name in _METHODS.get(owner, ())
    if not known:
        raise UnpicklingError(f'checkpoints may not refer to {owner!r}.{name}')
    return getattr(owner, name)


def _safe_globals() -> list:
    # `numpy.core` became `numpy._core` in numpy 2; a checkpoint of either may be loaded.
    reconstruct = np.array(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    names = [*_METHODS, np.ndarray, np.dtype, (_known_method, 'builtins.getattr')]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        names += [(reconstruct, f'{module}._reconstruct'), (scalar, f'{module}.scalar')]
    # Since numpy 1.25 each dtype is an instance of a class of its own.
    names += {type(np.dtype(kind)) for kind in ('b1', 'i1', 'u1', 'i4', 'i8', 'f2', 'f4', 'f8')}
    return names


def apply() -> None:
    """Add to torch's list what mmengine's own checkpoints hold."""
    torch.serialization.add_safe_globals(_safe_globals())
