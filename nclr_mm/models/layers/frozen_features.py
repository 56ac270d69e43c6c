"""Features of a frozen network, computed once for each image."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ['FrozenFeatures']


class FrozenFeatures:
    """Keeps the feature maps that a frozen network gave for an image.

    An image is known by all of its values, so that one that was augmented in another way is another
    image. Where the memory is full, the images that were not seen for longest are dropped.

    On a GPU each call waits for the images, which are copied to the host.

    Args:
        max_bytes: of the maps that are kept, on the device on which they are computed.
    """

    def __init__(self, max_bytes: float) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._maps: OrderedDict[tuple, tuple[Tensor, ...]] = OrderedDict()

    def __call__(self, network: nn.Module, images: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of images.

        Args:
            network: called with images, returns a sequence of maps; each call must be of the same
                network with the same weights, unless :meth:`clear` is called between.
            images: (N, 3, H, W).

        Returns:
            The maps, each (N, C, h, w), without gradients.

        Raises:
            ValueError: if the network is not frozen.
        """
        check_frozen(network)
        keys = image_keys(images)
        # A repeated image is computed once, too.
        missing = {k: i for i, k in enumerate(keys) if k not in self._maps}
        found = {k: self._maps[k] for k in keys if k in self._maps}
        if missing:
            with torch.no_grad():
                maps = network(images[list(missing.values())])
            for row, key in enumerate(missing):
                found[key] = tuple(m[row] for m in maps)
        for key in keys:
            self._keep(key, found[key])
        return tuple(torch.stack(maps) for maps in zip(*(found[key] for key in keys), strict=True))

    def _keep(self, key: tuple, maps: Sequence[Tensor]) -> None:
        if key in self._maps:
            self._maps.move_to_end(key)
            return
        # Without the copies each image would hold on to the maps of its whole batch.
        self._maps[key] = tuple(m.clone() for m in maps)
        self.bytes += _bytes(maps)
        while self.bytes > self.max_bytes:
            _, dropped = self._maps.popitem(last=False)
            self.bytes -= _bytes(dropped)

    def clear(self) -> None:
        """Forget all images."""
        self._maps.clear()
        self.bytes = 0


def image_keys(images: Tensor) -> list[tuple]:
    """For each image (C, H, W) of a batch what tells its features from others."""
    device = images.device
    precision = None
    if torch.is_autocast_enabled(device.type):
        precision = torch.get_autocast_dtype(device.type)
    rest = (images.shape[1:], images.dtype, precision, device)
    # Read as integers, for NumPy knows no bfloat16.
    values = images.detach().contiguous().cpu().view(torch.uint8).numpy()
    return [(hashlib.blake2b(image, digest_size=16).digest(), *rest) for image in values]


def check_frozen(network: nn.Module) -> None:
    """Raise ValueError where a parameter or a running mean of a network is trained."""
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    trained += [
        name
        for name, module in network.named_modules()
        if module.training and isinstance(module, nn.modules.batchnorm._NormBase)
    ]
    if trained:
        raise ValueError(
            f'Features of a {type(network).__name__} cannot be kept, for it is not frozen: '
            f'{trained[0]} is trained.'
        )


def _bytes(maps: Sequence[Tensor]) -> int:
    return sum(m.numel() * m.element_size() for m in maps)
