"""spconv: with two threads or more, every convolution on a CPU gives wrong values, silently.

Fault: `GatherCPU.scatter_add` of spconv's CPU wheel splits its rows among the threads of OpenMP,
which share the two pointers that stand for the current row, since both are declared outside the
parallel part. A thread then adds a row of another one, or to another's place. Outputs and gradients
are wrong by the size of the values themselves, and differ from run to run.

Holds for: spconv 2.3.8 (CPU wheel) and all 2.x before it; `OMP_NUM_THREADS=1` hides it.
"""

import torch
from spconv.pytorch import ops


def _scatter_add(out, rows, indices) -> None:
    """Add ``rows[i]`` to ``out[indices[i]]``, in place.

    Args:
        out: tensorview tensor (M, C).
        rows: tensorview tensor (>= N, C); those after the first N are not read.
        indices: tensorview tensor (N,) of int32. One offset of a kernel names no row twice, so that
            the order of additions, and with it the sum, is always the same.
    """
    out, rows, indices = (torch.from_numpy(t.numpy_view()) for t in (out, rows, indices))
    # scatter_add_ along whole rows is parallel, and here four times as fast as index_add_.
    places = indices.long()[:, None].expand(-1, rows.shape[1])
    out.scatter_add_(0, places, rows[: len(indices)])


def apply() -> None:
    """Let torch add the rows up, where spconv has convolutions for CPUs."""
    # spconv-triton has no such operators and needs no workaround.
    operators = getattr(ops, 'SpconvOps', None)
    if not hasattr(operators, 'scatter_add_cpu') or operators.scatter_add_cpu is _scatter_add:
        return
    ops.SpconvOps = type('SpconvOps', (operators,), {'scatter_add_cpu': staticmethod(_scatter_add)})
