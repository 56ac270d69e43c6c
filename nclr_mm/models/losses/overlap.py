"""Loss of the overlap heads."""

import torch
from mmdet3d.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from .averaging import batch_mean


@MODELS.register_module()
class OverlapLoss(nn.Module):
    """Binary cross entropy on logits.

    Args:
        loss_weight: factor.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean over the entries of ``mask``, of all processes; zero where there is none.

        Args:
            logits: (...) logits.
            target: (...) bool.
            mask: (...) bool, all true where not given.
        """
        logits = logits.float()
        loss = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction='none')
        mask = torch.ones_like(target) if mask is None else mask
        return self.loss_weight * batch_mean(loss, mask)
