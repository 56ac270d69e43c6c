"""Tensors of all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import get_rank, get_world_size
from torch import Tensor
from torch.nn import functional as F


class _Gather(torch.autograd.Function):
    """Tensors of one shape of all processes, stacked; each process sends its gradients back."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(get_world_size())]
        dist.all_gather(parts, own.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        dist.all_reduce(grad)
        return grad[get_rank()]


def gather_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Put the rows of all processes below each other, however many each of them has.

    The gradient of a process's rows is the sum of what all processes ask of them. All processes
    must call this, and call it in the same order as other functions of this kind.

    Args:
        values: (N, C) rows of this process; C is the same on all of them.

    Returns:
        (M, C) rows of all processes, and (M,) rank of the process that each is from.
    """
    number = get_world_size()
    if number == 1:
        return values, values.new_zeros(len(values), dtype=torch.long)
    own = torch.tensor([len(values)], device=values.device)
    counts = [torch.empty_like(own) for _ in range(number)]
    dist.all_gather(counts, own)
    sizes = torch.cat(counts).tolist()
    rows = _Gather.apply(F.pad(values, (0, 0, 0, max(sizes) - len(values))))
    ranks = torch.arange(number, device=values.device).repeat_interleave(torch.cat(counts))
    return torch.cat([part[:size] for part, size in zip(rows, sizes, strict=True)]), ranks
