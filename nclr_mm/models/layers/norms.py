"""Batch norm on too few values."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

_Norm = nn.modules.batchnorm._BatchNorm


def norms_across_processes(module: nn.Module) -> bool:
    """Whether a batch norm of a network takes its statistics over several processes now.

    Such a network must be called on each of them: one that has nothing to compute must still take
    part.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return False
    return any(isinstance(m, nn.SyncBatchNorm) and m.training for m in module.modules())


@contextmanager
def running_statistics_if_alone(module: nn.Module, coors: Tensor, cell: int) -> Iterator[None]:
    """Let batch norm use its running statistics where it would see a single value a channel.

    Batch norm over several processes sees the values of all of them, and is left as it is.

    Args:
        module: network in training or evaluation; the mode of each norm is restored.
        coors: (N, D) integer coordinates of the input voxels, the batch first.
        cell: input voxels along the edge of a cell of the coarsest level; a single occupied cell
            means that a batch statistic does not exist there.
    """
    # Not asked on large batches, for the sake of speed; those lie in more than one cell.
    alone = False
    if module.training and len(coors) <= 4096 and not norms_across_processes(module):
        cells = torch.cat((coors[:, :1], coors[:, 1:] // cell), dim=1)
        alone = len(torch.unique(cells, dim=0)) < 2
    if not alone:
        yield
        return
    norms = [m for m in module.modules() if isinstance(m, _Norm)]
    switched = [m for m in norms if m.training]
    for norm in switched:
        norm.eval()
    try:
        yield
    finally:
        for norm in switched:
            norm.train()
