"""spconv: the backward pass of every convolution fails on machines without CUDA.

Fault: `spconv.pytorch.ops.indice_conv_backward` asks for the current CUDA stream before it looks
where its tensors are, and `torch.cuda.current_stream()` raises where there is no CUDA. The CPU
branch that follows is sound and does not use the stream. The forward pass is not concerned.

Holds for: spconv 2.3.8 (CPU wheel), and all 2.x before it with that function.
"""

import torch
from spconv.pytorch import ops


def _no_stream() -> int:
    """Handle of CUDA's default stream, which CPU code receives and never uses."""
    return 0


def apply() -> None:
    """Let spconv's operators run without a CUDA stream, only where there is no CUDA."""
    # spconv-triton has no such function and needs no workaround.
    if torch.cuda.is_available() or not hasattr(ops, 'get_current_stream'):
        return
    ops.get_current_stream = _no_stream
