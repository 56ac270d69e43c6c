"""torch: `SyncBatchNorm` refuses tensors on CPUs.

Fault: its forward raises an error for inputs that are not on an accelerator, and
`DistributedDataParallel` one for models that have it there, though processes on CPUs are joined by
gloo, which can sum over them. Here such inputs are normalised with the mean and
the variance over the values of all processes, however many each has; so mmengine's option
`sync_bn='torch'` works on every machine.

Holds for: torch up to 2.13.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import SyncBatchNorm
from torch.nn.parallel import DistributedDataParallel


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over processes; the gradient is summed likewise."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _SumOverProcesses.apply(grad, ctx.group), None


def _normalise(norm: SyncBatchNorm, values: Tensor) -> Tensor:
    """Batch norm of values (N, C, ...) over all processes, in training.

    Float32 statistics in two passes, as the variance of the mean and of a square would cancel.
    """
    over = (0, *range(2, values.dim()))
    shape = (1, -1) + (1,) * (values.dim() - 2)
    x = values.float()
    own = x.new_tensor([x.numel() / x.shape[1]])
    sums = _SumOverProcesses.apply(torch.cat((x.sum(over), own)), norm.process_group)
    number = sums[-1].detach()
    mean = sums[:-1] / number.clamp(min=1)
    centred = x - mean.view(shape)
    squares = _SumOverProcesses.apply(centred.square().sum(over), norm.process_group)
    variance = squares / number.clamp(min=1)
    if norm.track_running_stats:
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            factor = norm.momentum
            if factor is None:
                factor = 1 / float(norm.num_batches_tracked)
            unbiased = squares / (number - 1).clamp(min=1)
            norm.running_mean.lerp_(mean.to(norm.running_mean), factor)
            norm.running_var.lerp_(unbiased.to(norm.running_var), factor)
    out = centred * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.affine:
        out = out * norm.weight.view(shape) + norm.bias.view(shape)
    return out.to(values.dtype)


def apply() -> None:
    """Give inputs on CPUs a forward of their own; all others keep torch's."""
    forward = SyncBatchNorm.forward
    if hasattr(forward, '__wrapped__'):
        return

    @functools.wraps(forward)
    def forward_anywhere(self: SyncBatchNorm, input: Tensor) -> Tensor:
        together = self.training and dist.is_available() and dist.is_initialized()
        if together and input.device.type == 'cpu':
            self._check_input_dim(input)
            return _normalise(self, input)
        return forward(self, input)

    SyncBatchNorm.forward = forward_anywhere
    # All that this method does is refuse models on CPUs.
    if hasattr(DistributedDataParallel, '_passing_sync_batchnorm_handle'):
        DistributedDataParallel._passing_sync_batchnorm_handle = _accept


def _accept(self: DistributedDataParallel, module: torch.nn.Module) -> None:
    """Take a model on any device."""
