"""Images of a batch: checked, and normalised all at once."""

from __future__ import annotations

import torch
from mmdet3d.models.data_preprocessors import Det3DDataPreprocessor
from torch import Tensor


def check_padding(arguments: dict) -> None:
    """Refuse the padding of images, which would count as image."""
    if arguments.get('pad_size_divisor', 1) != 1:
        raise ValueError(
            'pad_size_divisor is not supported, for padding would count as image: resize them '
            'to multiples of the stride instead (ResizeImages).'
        )


def check_images(images: list[Tensor]) -> None:
    """Refuse a batch of images of several shapes; each is (V, 3, H, W)."""
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ValueError(
            'All samples of a batch need the same number of cameras and the same image size '
            f'(cameras, channels, height, width); this batch holds {sorted(shapes)}.'
        )
    for shape in shapes:
        if len(shape) != 4 or shape[1] != 3:
            raise ValueError(f'Images must be (cameras, 3, height, width), not {shape}.')


class ImageBatchPreprocessor(Det3DDataPreprocessor):
    """mmdet3d's data preprocessor, but for the images, of which it takes one after the other.

    Args:
        kwargs: arguments of :class:`mmdet3d.models.Det3DDataPreprocessor`; copies to the device do
            not make the host wait, unless ``non_blocking=False`` is given.
    """

    def __init__(self, **kwargs) -> None:
        check_padding(kwargs)
        super().__init__(**{'non_blocking': True, **kwargs})

    def simple_process(self, data: dict, training: bool = False) -> dict:
        """Process one batch.

        Args:
            data: ``inputs`` with ``img`` (list of B uint8 tensors (V, 3, H, W)) and what mmdet3d's
                preprocessor takes, and ``data_samples``.
            training: as mmdet3d's.

        Returns:
            ``inputs`` with ``imgs`` (B, V, 3, H, W), and ``data_samples``.
        """
        inputs = dict(data['inputs'])
        images = inputs.pop('img', None)
        if images is not None:
            check_images(images)
        data = super().simple_process(dict(data, inputs=inputs), training)
        if images is not None:
            data['inputs']['imgs'] = self.normalise(torch.stack(self.cast_data(images)))
        return data

    def normalise(self, images: Tensor) -> Tensor:
        """Order the channels (..., 3, H, W), and normalise, as mmdet3d does image by image."""
        if self._channel_conversion:
            images = images.flip(-3)
        images = images.float()
        return (images - self.mean) / self.std if self._enable_normalize else images
