"""Contrastive loss between points and pixels."""

import torch
from mmdet3d.registry import MODELS
from mmengine.dist import get_rank
from torch import Tensor, nn

from nclr_mm.geometry import full_precision

from ..layers.gathering import gather_rows
from .averaging import batch_mean


@MODELS.register_module()
class PointInfoNCE(nn.Module):
    """PointInfoNCE (PointContrast, arXiv 2007.10985) between matched points and pixels.

    For pair k of a sample the loss is ``-log(exp(p_k.i_k/t) / sum_j exp(p_k.i_j/t))`` over the
    pairs j of the same sample; the mean over all pairs of the batch is returned, in distributed
    training over those of all processes (:func:`nclr_mm.models.losses.averaging.batch_mean`).

    Args:
        temperature: t (0.07 in the official settings).
        symmetric: average with the loss in the other direction (pixel to points).
        loss_weight: factor.
        gather_negatives: also take the pairs of all other samples of the batch as negatives, of
            this process and of all others in distributed training. Each process then keeps the
            logits of its pairs against those of all processes: with 1024 pairs a sample, 4 MiB for
            each of its samples and each sample of the whole batch.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        symmetric: bool = False,
        loss_weight: float = 1.0,
        gather_negatives: bool = False,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f'temperature must be positive, not {temperature}.')
        self.temperature = temperature
        self.symmetric = symmetric
        self.loss_weight = loss_weight
        self.gather_negatives = gather_negatives

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
        loss = self._against(logits, points, pixels, mask) - positive
        if self.symmetric:
            other = self._against(logits.transpose(-2, -1), pixels, points, mask) - positive
            loss = (loss + other) / 2
        return self.loss_weight * batch_mean(loss, mask)

    def _against(self, logits: Tensor, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Log-sum-exp of the logits (B, M, M) of each query (B, M, C) against the keys (B, M, C) of
        its sample, and of those against the keys of other samples where these are negatives."""
        if not self.gather_negatives:
            return logits.logsumexp(dim=-1)
        others, ranks = gather_rows(keys[mask])
        sample = torch.full_like(ranks, -1)
        sample[ranks == get_rank()] = mask.nonzero()[:, 0]
        own = torch.arange(len(mask), device=mask.device)[:, None, None] == sample
        far = (queries @ others.T / self.temperature).masked_fill(own, -torch.inf)
        return torch.cat((logits, far), dim=-1).logsumexp(dim=-1)
