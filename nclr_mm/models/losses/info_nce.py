"""Contrastive loss between points and pixels."""

import torch
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from nclr_mm.geometry import full_precision


@MODELS.register_module()
class PointInfoNCE(nn.Module):
    """PointInfoNCE (PointContrast, arXiv 2007.10985) between matched points and pixels.

    For pair k of a sample the loss is ``-log(exp(p_k.i_k/t) / sum_j exp(p_k.i_j/t))`` over the
    pairs j of the same sample; the mean over all pairs of the batch is returned.

    Args:
        temperature: t (0.07 in the official settings).
        symmetric: average with the loss in the other direction (pixel to points).
        loss_weight: factor.
    """

    def __init__(
        self, temperature: float = 0.07, symmetric: bool = False, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f'temperature must be positive, not {temperature}.')
        self.temperature = temperature
        self.symmetric = symmetric
        self.loss_weight = loss_weight

    @full_precision
    def forward(
        self, points: Tensor, pixels: Tensor, mask: Tensor, same: Tensor | None = None
    ) -> Tensor:
        """Compute the loss.

        Args:
            points: (B, M, C) embeddings of the points.
            pixels: (B, M, C) embeddings of their pixels.
            mask: (B, M) bool, false for padding.
            same: (B, M, M) bool, pairs that must not count as negatives of each other.

        Returns:
            Scalar; zero, and connected to the inputs, where no pair is valid.
        """
        logits = points @ pixels.transpose(-2, -1) / self.temperature
        positive = logits.diagonal(dim1=-2, dim2=-1)
        excluded = ~(mask[:, :, None] & mask[:, None, :])
        if same is not None:
            excluded = excluded | same
        own = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
        logits = logits.masked_fill(excluded & ~own, -torch.inf)
        loss = logits.logsumexp(dim=-1) - positive
        if self.symmetric:
            loss = (loss + logits.logsumexp(dim=-2) - positive) / 2
        return self.loss_weight * (loss * mask).sum() / mask.sum().clamp(min=1)
