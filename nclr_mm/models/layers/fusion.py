"""Cross-modal fusion of voxels and pixels."""

from mmdet3d.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F


class CrossAttention(nn.Module):
    """Attention from queries to a context, residual, with an optional feed-forward part.

    Memory is linear in queries plus context: the matrix of weights is never stored
    (``scaled_dot_product_attention``).

    Args:
        channels: feature channels C.
        num_heads: attention heads.
        ffn_ratio: hidden width of the feed-forward part over C; 0 leaves it out.
    """

    def __init__(self, channels: int, num_heads: int, ffn_ratio: float) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(f'channels {channels} must be a multiple of num_heads {num_heads}.')
        self.num_heads = num_heads
        self.norm_query = nn.LayerNorm(channels)
        self.norm_context = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        self.ffn = None
        if ffn_ratio > 0:
            hidden = round(channels * ffn_ratio)
            self.ffn = nn.Sequential(
                nn.LayerNorm(channels),
                nn.Linear(channels, hidden),
                nn.ReLU(inplace=True),
                nn.Linear(hidden, channels),
            )

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)

    def forward(self, queries: Tensor, context: Tensor, context_mask: Tensor | None) -> Tensor:
        """Attend.

        Args:
            queries: (N, Q, C).
            context: (N, K, C).
            context_mask: (N, K) bool, false for padding; ``None`` if all are real. A row without
                any real entry attends to its padding, which keeps it finite.

        Returns:
            (N, Q, C).
        """
        keys, values = self.key_value(self.norm_context(context)).chunk(2, dim=-1)
        mask = None
        if context_mask is not None:
            mask = context_mask | ~context_mask.any(dim=-1, keepdim=True)
            mask = mask[:, None, None, :]  # expanded, it would be as large as the weights
        attended = F.scaled_dot_product_attention(
            self._heads(self.query(self.norm_query(queries))),
            self._heads(keys),
            self._heads(values),
            attn_mask=mask,
        )
        queries = queries + self.out(attended.transpose(-3, -2).flatten(-2))
        return queries if self.ffn is None else queries + self.ffn(queries)


@MODELS.register_module()
class CrossModalFusion(nn.Module):
    """Let voxels see the image and pixels see the voxels.

    Each layer has one attention block for each direction; both read the features from before the
    layer, and each has parameters of its own. (The official release uses the image-to-point block
    for both directions and never trains the other.)

    Args:
        channels: feature channels C.
        num_layers: layers; the official model has one.
        num_heads: attention heads.
        ffn_ratio: see :class:`CrossAttention`.
    """

    def __init__(
        self, channels: int, num_layers: int = 1, num_heads: int = 1, ffn_ratio: float = 0.0
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f'num_layers must be at least 1, not {num_layers}.')
        self.point_in = nn.Linear(channels, channels)
        self.pixel_in = nn.Linear(channels, channels)

        def blocks() -> nn.ModuleList:
            return nn.ModuleList(
                CrossAttention(channels, num_heads, ffn_ratio) for _ in range(num_layers)
            )

        self.point_from_pixel = blocks()
        self.pixel_from_point = blocks()

    def forward(
        self, points: Tensor, pixels: Tensor, point_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Fuse.

        Args:
            points: (N, P, C) voxel features of each camera.
            pixels: (N, h*w, C) pixel features of each camera.
            point_mask: (N, P) bool, false for padding.

        Returns:
            Fused voxel features (N, P, C) and pixel features (N, h*w, C).
        """
        points, pixels = self.point_in(points), self.pixel_in(pixels)
        for to_point, to_pixel in zip(self.point_from_pixel, self.pixel_from_point, strict=True):
            points, pixels = to_point(points, pixels, None), to_pixel(pixels, points, point_mask)
        return points, pixels


def overlap_mlp(channels: int) -> nn.Sequential:
    """Three 1x1 layers that give one logit; features (..., C) to (..., 1)."""
    return nn.Sequential(
        nn.Linear(channels, channels),
        nn.ReLU(inplace=True),
        nn.Linear(channels, channels),
        nn.ReLU(inplace=True),
        nn.Linear(channels, 1),
    )
