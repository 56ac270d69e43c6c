"""spconv for GPUs: every convolution fails on CPU tensors.

Fault: where spconv is not built for CPUs alone, each `SparseConvolution` is given the implicit-GEMM
algorithm when it is made, and that refuses tensors that are not on a GPU ("implicit gemm only
support cuda"). The native algorithm, which the wheels for GPUs bring for CPUs too, has the same
weights and the same results.

Holds for: spconv-cu126 2.3.8, and all spconv-cu* 2.x.
"""

import copy
from functools import wraps

from spconv.pytorch import conv

try:
    from spconv.core import ConvAlgo
except ImportError:  # spconv-triton is for GPUs
    ConvAlgo = None


def _native_on_cpus(forward):
    @wraps(forward)
    def _conv_forward(self, training, input, *args, **kwargs):
        if not input.features.is_cuda and self.algo != ConvAlgo.Native:
            # A view of the layer with the same parameters; the layer's own algorithm is for GPUs.
            self = copy.copy(self)
            self.algo = ConvAlgo.Native
        return forward(self, training, input, *args, **kwargs)

    _conv_forward.native_on_cpus = True
    return _conv_forward


def apply() -> None:
    """Let convolutions take the native algorithm for CPU tensors."""
    forward = getattr(conv.SparseConvolution, '_conv_forward', None)
    if ConvAlgo is None or forward is None or hasattr(forward, 'native_on_cpus'):
        return
    conv.SparseConvolution._conv_forward = _native_on_cpus(forward)
