"""mmengine: a run cannot be resumed, and checkpoints cannot be loaded, with torch 2.6 and later.

Fault: `torch.load` reads with `weights_only=True` by default since torch 2.6 and then refuses
classes it does not know. mmengine's runner stores its message hub in every checkpoint: its
`HistoryBuffer`s hold numpy arrays and scalars, and their methods as `getattr(HistoryBuffer, name)`.

The protection stays on: only these classes are added to torch's list. `getattr` itself would let a
crafted file reach any attribute of any listed class, so it is replaced by a function that gives the
four statistics of `HistoryBuffer` and nothing else.

Holds for: mmengine up to 0.10.7, torch 2.6 and later.
"""

from pickle import UnpicklingError

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from packaging.version import Version

# mmengine.logging.HistoryBuffer._set_default_statistics
_STATISTICS = ('min', 'max', 'current', 'mean')


def _history_statistic(owner: type, name: str):
    """Stand-in for `getattr` in checkpoints: a default statistic of `HistoryBuffer`."""
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise UnpicklingError(f'checkpoints may not refer to {owner!r}.{name}')
    return getattr(owner, name)


def _safe_globals() -> list:
    # `numpy.core` became `numpy._core` in numpy 2; a checkpoint of either may be loaded.
    reconstruct = np.array(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    names = [HistoryBuffer, np.ndarray, np.dtype, (_history_statistic, 'builtins.getattr')]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        names += [(reconstruct, f'{module}._reconstruct'), (scalar, f'{module}.scalar')]
    # Since numpy 1.25 each dtype is an instance of a class of its own.
    names += {type(np.dtype(kind)) for kind in ('b1', 'i1', 'u1', 'i4', 'i8', 'f2', 'f4', 'f8')}
    return names


def apply() -> None:
    """Add to torch's list what mmengine's own checkpoints hold, where torch asks for it."""
    if Version(torch.__version__) < Version('2.6'):
        return
    torch.serialization.add_safe_globals(_safe_globals())
