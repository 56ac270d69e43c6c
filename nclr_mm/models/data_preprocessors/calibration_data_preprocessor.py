"""Data preprocessor of the pretraining detector."""

from mmdet3d.registry import MODELS

from .images import ImageBatchPreprocessor
from .voxel_data_preprocessor import VoxelDataPreprocessor


@MODELS.register_module()
class CalibrationDataPreprocessor(ImageBatchPreprocessor, VoxelDataPreprocessor):
    """Normalise the images and voxelise the points, both on the model's device.

    Args:
        voxel_size: edge lengths (x, y, z) in metres.
        max_voxels: at most so many voxels a sample in training, drawn at random; ``None``: all.
        feature_columns: columns of the voxel means that the backbone sees, for instance ``(3,)``
            for the intensity alone. ``None`` passes all.
        kwargs: image arguments of :class:`mmdet3d.models.Det3DDataPreprocessor` (``mean``,
            ``std``, ``bgr_to_rgb``, ...).
    """

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
        data = super().simple_process(data, training)
        inputs = data['inputs']
        inputs['voxels'] = self.make_voxels(inputs['points'], training)
        return data
