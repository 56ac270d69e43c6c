"""Batch norm on too few values."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def running_statistics_if_alone(module: nn.Module, coors: Tensor, cell: int) -> Iterator[None]:
    """Let batch norm use its running statistics where it would see a single value a channel.

    Args:
        module: network in training or evaluation; the mode of each norm is restored.
        coors: (N, D) integer coordinates of the input voxels, the batch first.
        cell: input voxels along the edge of a cell of the coarsest level; a single occupied cell
            means that a batch statistic does not exist there.
    """
    # Not asked on large batches, for the sake of speed; those lie in more than one cell.
    alone = False
    if module.training and len(coors) <= 4096:
        cells = torch.cat((coors[:, :1], coors[:, 1:] // cell), dim=1)
        alone = len(torch.unique(cells, dim=0)) < 2
    if not alone:
        yield
        return
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    switched = [m for m in norms if m.training]
    for norm in switched:
        norm.eval()
    try:
        yield
    finally:
        for norm in switched:
            norm.train()
