"""Drawing without replacement, batched over samples and cameras."""

import torch
from torch import Tensor


def draw_masked(
    mask: Tensor,
    number: int,
    preferred: Tensor | None = None,
    preferred_fraction: float = 0.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw ``number`` of the true entries of each row, without replacement.

    Args:
        mask: (..., N) bool.
        number: entries K to draw a row.
        preferred: (..., N) bool; where given, ``preferred_fraction`` of the draw comes from
            entries that are in ``mask`` and here, as far as there are so many.
        preferred_fraction: between 0 and 1.
        generator: source of randomness, on the device of ``mask``.

    Returns:
        index (..., K) and valid (..., K) bool. Slots that a row has no entry for are not valid,
        and their index is 0.
    """
    key = torch.rand(mask.shape, device=mask.device, generator=generator) + mask
    quota = min(round(number * preferred_fraction), mask.shape[-1])
    if preferred is not None and quota:
        chosen, index = (key - 1).masked_fill(~(preferred & mask), -1).topk(quota, dim=-1)
        key = key.scatter_add(-1, index, (chosen >= 0).to(key.dtype))
    key, index = key.topk(min(number, mask.shape[-1]), dim=-1)
    missing = number - index.shape[-1]
    key = torch.nn.functional.pad(key, (0, missing))
    index = torch.nn.functional.pad(index, (0, missing))
    valid = key >= 1
    return index.masked_fill(~valid, 0), valid
