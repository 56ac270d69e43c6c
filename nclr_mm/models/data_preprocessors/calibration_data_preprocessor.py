"""Data preprocessor of the pretraining detector."""

from mmdet3d.registry import MODELS
from torch import Tensor

from .voxel_data_preprocessor import VoxelDataPreprocessor


def check_padding(arguments: dict) -> None:
    """Refuse the padding of images, which would count as image."""
    if arguments.get('pad_size_divisor', 1) != 1:
        raise ValueError(
            'pad_size_divisor is not supported, for padding would count as image: resize them '
            'to multiples of the stride instead (ResizeImages).'
        )


def check_images(images: list[Tensor] | None) -> None:
    """Refuse a batch of images of several shapes; each is (V, 3, H, W)."""
    shapes = {tuple(image.shape) for image in images} if images is not None else set()
    if len(shapes) > 1:
        raise ValueError(
            'All samples of a batch need the same number of cameras and the same image size '
            f'(cameras, channels, height, width); this batch holds {sorted(shapes)}.'
        )


@MODELS.register_module()
class CalibrationDataPreprocessor(VoxelDataPreprocessor):
    """Normalise the images and voxelise the points, both on the model's device.

    Args:
        voxel_size: edge lengths (x, y, z) in metres.
        max_voxels: at most so many voxels a sample in training, drawn at random; ``None``: all.
        feature_columns: columns of the voxel means that the backbone sees, for instance ``(3,)``
            for the intensity alone. ``None`` passes all.
        kwargs: image arguments of :class:`mmdet3d.models.Det3DDataPreprocessor` (``mean``,
            ``std``, ``bgr_to_rgb``, ...).
    """

    def __init__(self, *args, **kwargs) -> None:
        check_padding(kwargs)
        super().__init__(*args, **kwargs)

    def simple_process(self, data: dict, training: bool = False) -> dict:
        """Process one batch.

        Args:
            data: ``inputs`` with ``points`` (list of B tensors (N_b, 3+F)) and ``img`` (list of B
                uint8 tensors (V, 3, H, W)), and ``data_samples``.
            training: whether ``max_voxels`` applies.

        Returns:
            ``inputs`` with ``points``, ``imgs`` (B, V, 3, H, W) and ``voxels`` (see
            :meth:`make_voxels`), and ``data_samples``.
        """
        check_images(data['inputs'].get('img'))
        data = super().simple_process(data, training)
        inputs = data['inputs']
        inputs['voxels'] = self.make_voxels(inputs['points'], training)
        return data
