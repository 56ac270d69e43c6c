"""Similarity of point and pixel features."""

import torch
from mmdet3d.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from nclr_mm.geometry import full_precision


@MODELS.register_module()
class CosineAlignment(nn.Module):
    """Plain cosine similarity: embeddings are the L2-normalised features.

    This is the form of the official release.

    Args:
        channels: feature channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    @full_precision
    def forward(self, features: Tensor) -> Tensor:
        """Embed features (..., C) so that a similarity is an inner product, in float32."""
        return F.normalize(features, dim=-1)


@MODELS.register_module()
class SymmetricAlignment(CosineAlignment):
    """Learnable transformation alignment (LTA) of NCLR (arXiv 2401.12452).

    The similarity of a point p and a pixel i is ``p W i^T`` on normalised features with a
    learnable symmetric ``W = Q D Q^T``. How the paper keeps Q orthogonal, whether D may be
    negative, and the initialisation are not published, and the official release leaves LTA out.
    Here ``W = A^T A``: one linear map A, applied to both sides before the inner product. By the
    polar decomposition every symmetric positive semi-definite W (D >= 0) has this form, and A
    starts as the identity, so that training begins with the plain cosine.

    Args:
        channels: feature channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.transform = nn.Parameter(torch.eye(channels))

    @full_precision
    def forward(self, features: Tensor) -> Tensor:
        """Embed features (..., C) so that a similarity is an inner product, in float32."""
        return super().forward(features) @ self.transform.T
