"""Data preprocessor of the pretraining detector."""

from collections.abc import Sequence

import torch
from mmdet3d.models.data_preprocessors import Det3DDataPreprocessor
from mmdet3d.registry import MODELS
from torch import Tensor

from .voxelize import draw_per_sample, voxelize


@MODELS.register_module()
class CalibrationDataPreprocessor(Det3DDataPreprocessor):
    """Normalise the images and voxelise the points, both on the model's device.

    mmdet3d's own preprocessor quantises ``minkunet`` voxels through numpy on the host and needs
    CUDA; this one uses torch on the points' device. Voxel features are means over the points of a
    voxel.

    Args:
        voxel_size: edge lengths (x, y, z) in metres.
        max_voxels: at most so many voxels a sample in training, drawn at random; ``None``: all.
        feature_columns: columns of the voxel means that the backbone sees, for instance ``(3,)``
            for the intensity alone. ``None`` passes all.
        kwargs: image arguments of :class:`mmdet3d.models.Det3DDataPreprocessor` (``mean``,
            ``std``, ``bgr_to_rgb``, ...).
    """

    def __init__(
        self,
        voxel_size: Sequence[float],
        max_voxels: int | None = None,
        feature_columns: Sequence[int] | None = None,
        **kwargs,
    ) -> None:
        if kwargs.get('pad_size_divisor', 1) != 1:
            raise ValueError(
                'pad_size_divisor is not supported, for padding would count as image: resize them '
                'to multiples of the stride instead (ResizeImages).'
            )
        super().__init__(voxel=False, **kwargs)
        if len(voxel_size) != 3 or min(voxel_size) <= 0:
            raise ValueError(
                f'voxel_size must be three positive lengths in metres, not {voxel_size}.'
            )
        if max_voxels is not None and max_voxels < 1:
            raise ValueError(f'max_voxels must be at least 1 or None, not {max_voxels}.')
        self.max_sample_voxels = max_voxels
        self.feature_columns = None if feature_columns is None else list(feature_columns)
        self.register_buffer('voxel_size', torch.tensor(voxel_size, dtype=torch.float32), False)

    def simple_process(self, data: dict, training: bool = False) -> dict:
        """Process one batch.

        Args:
            data: ``inputs`` with ``points`` (list of B tensors (N_b, 3+F)) and ``img`` (list of B
                uint8 tensors (V, 3, H, W)), and ``data_samples``.
            training: whether ``max_voxels`` applies.

        Returns:
            ``inputs`` with ``points``, ``imgs`` (B, V, 3, H, W) and ``voxels``: a dict of
            ``voxels`` (Nv, C), ``xyz`` (Nv, 3) mean positions in metres, ``coors`` (Nv, 4) int32
            [batch, x, y, z] and ``counts``, the list of B voxel numbers; and ``data_samples``.
        """
        self._check_images(data['inputs'].get('img'))
        data = super().simple_process(data, training)
        inputs = data['inputs']
        inputs['voxels'] = self.make_voxels(inputs['points'], training)
        return data

    @torch.no_grad()
    def make_voxels(self, points: list[Tensor], training: bool) -> dict:
        """Voxelise the clouds of a batch; see :meth:`simple_process` for the result.

        Raises:
            ValueError: if a point is not finite.
        """
        batch_size = len(points)
        lengths = torch.tensor([len(p) for p in points], device=points[0].device)
        batch_index = torch.arange(batch_size, device=lengths.device).repeat_interleave(lengths)
        joined = torch.cat(points).float()
        if not joined.isfinite().all():
            bad = [int((~p.isfinite()).any(dim=1).sum()) for p in points]
            raise ValueError(
                f'Points must be finite; the samples of this batch have {bad} that are not. '
                'PointsRangeFilter in the pipeline drops them.'
            )
        features, coors, _ = voxelize(joined, batch_index, self.voxel_size, batch_size)
        if training and self.max_sample_voxels is not None:
            keep = draw_per_sample(coors[:, 0], batch_size, self.max_sample_voxels)
            features, coors = features[keep], coors[keep]
        counts = torch.bincount(coors[:, 0].long(), minlength=batch_size).tolist()
        columns = self.feature_columns
        return dict(
            voxels=features if columns is None else features[:, columns],
            xyz=features[:, :3],
            coors=coors,
            counts=counts,
        )

    @staticmethod
    def _check_images(images) -> None:
        shapes = {tuple(image.shape) for image in images} if images is not None else set()
        if len(shapes) > 1:
            raise ValueError(
                'All samples of a batch need the same number of cameras and the same image size '
                f'(cameras, channels, height, width); this batch holds {sorted(shapes)}.'
            )
