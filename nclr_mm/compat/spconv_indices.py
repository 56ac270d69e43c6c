"""spconv: indices that are not contiguous in memory give wrong results, silently.

Fault: `SparseConvTensor` takes any tensor of indices, but the search for neighbours reads its
memory row by row whatever its strides. `torch.nonzero()`, transposition and slicing of columns make
such tensors, and the convolutions then connect the wrong voxels.

Holds for: spconv 2.3.8, and all 2.x before it.
"""

import functools

from spconv.pytorch import SparseConvTensor
from torch import Tensor


def apply() -> None:
    """Let `SparseConvTensor` lay out its indices row by row; contiguous ones are not copied."""
    init = SparseConvTensor.__init__
    if hasattr(init, '__wrapped__'):
        return

    @functools.wraps(init)
    def init_with_contiguous_indices(self, features: Tensor, indices: Tensor, *args, **kwargs):
        init(self, features, indices.contiguous(), *args, **kwargs)

    SparseConvTensor.__init__ = init_with_contiguous_indices
