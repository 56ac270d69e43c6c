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

    Raises:
        ValueError: if the memory is negative.
    """

    def __init__(self, max_bytes: float) -> None:
        if max_bytes < 0:
            raise ValueError(
                f'The memory for kept features must not be negative: {max_bytes} bytes.'
            )
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
            The maps, each (N, C, h, w), without gradients, in the memory format of the network's.

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
        maps = zip(*(found[key] for key in keys), strict=True)
        # Each of the maps of an image lies as it lay in its batch, and so does a batch of them.
        return tuple(_stack(of_images) for of_images in maps)

    def _keep(self, key: tuple, maps: Sequence[Tensor]) -> None:
        if key in self._maps:
            self._maps.move_to_end(key)
            return
        # Without the copies each image would hold on to the maps of its whole batch.
        self._maps[key] = tuple(m.clone(memory_format=torch.preserve_format) for m in maps)
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
    """Raise ValueError where a network learns, or draws something, so that its features change."""
    changing = [f'{name} is trained' for name, p in network.named_parameters() if p.requires_grad]
    changing += [
        f'{name} is in training mode'
        for name, module in network.named_modules()
        if module.training and _changes_in_training(module)
    ]
    if changing:
        raise ValueError(
            f'Features of a {type(network).__name__} cannot be kept, for it is not frozen: '
            f'{changing[0]}.'
        )


def _changes_in_training(module: nn.Module) -> bool:
    """Whether a layer gives other results in training: batch norm, and all kinds of dropout."""
    kinds = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)
    return isinstance(module, kinds) or 'drop' in type(module).__name__.lower()


def _stack(maps: Sequence[Tensor]) -> Tensor:
    channels_last = maps[0].stride(0) == 1 and maps[0].shape[0] > 1
    memory = torch.channels_last if channels_last else torch.contiguous_format
    return torch.stack(tuple(maps)).contiguous(memory_format=memory)


def _bytes(maps: Sequence[Tensor]) -> int:
    return sum(m.numel() * m.element_size() for m in maps)
