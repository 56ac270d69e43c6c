"""Batch norm on too few values."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def running_statistics_if_alone(module: nn.Module, cells: Tensor) -> Iterator[None]:
    """Let batch norm use its running statistics where it would see a single value a channel.

    Args:
        module: network in training or evaluation; the mode of each norm is restored.
        cells: (N, D) integer coordinates of the input voxels in the coarsest level's cells; fewer
            than two different ones mean that a batch statistic does not exist there.
    """
    # Not asked on large batches, for the sake of speed; those lie in more than one cell.
    alone = module.training and len(cells) <= 4096 and len(torch.unique(cells, dim=0)) < 2
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    switched = [m for m in norms if m.training] if alone else []
    for norm in switched:
        norm.eval()
    try:
        yield
    finally:
        for norm in switched:
            norm.train()
