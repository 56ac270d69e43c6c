"""What all data preprocessors share: voxels made with torch on the points' device."""

from collections.abc import Sequence

import torch
from mmdet3d.models.data_preprocessors import Det3DDataPreprocessor
from torch import Tensor

from .points import check_points
from .voxelize import count_per_sample, draw_per_sample, voxelize


class VoxelDataPreprocessor(Det3DDataPreprocessor):
    """Voxelise the points on the model's device.

    mmdet3d's own preprocessor quantises ``minkunet`` voxels through numpy on the host and needs
    CUDA; this one uses torch on the points' device. Voxel features are means over the points of a
    voxel.

    Args:
        voxel_size: edge lengths (x, y, z) in metres.
        max_voxels: at most so many voxels a sample in training, drawn at random; ``None``: all.
        feature_columns: columns of the voxel means that the backbone sees, for instance ``(3,)``
            for the intensity alone. ``None`` passes all.
        kwargs: arguments of :class:`mmdet3d.models.Det3DDataPreprocessor`.
    """

    def __init__(
        self,
        voxel_size: Sequence[float],
        max_voxels: int | None = None,
        feature_columns: Sequence[int] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(voxel=False, **kwargs)
        if len(voxel_size) != 3 or min(voxel_size) <= 0:
            raise ValueError(
                f'voxel_size must be three positive lengths in metres, not {voxel_size}.'
            )
        if max_voxels is not None and max_voxels < 1:
            raise ValueError(f'max_voxels must be at least 1 or None, not {max_voxels}.')
        self.max_sample_voxels = max_voxels
        # An index of its own, for a list would be copied to the device in every step.
        columns = None if feature_columns is None else torch.tensor(feature_columns)
        self.register_buffer('feature_columns', columns, False)
        self.register_buffer('voxel_size', torch.tensor(voxel_size, dtype=torch.float32), False)

    @torch.no_grad()
    def make_voxels(self, points: list[Tensor], training: bool) -> dict:
        """Voxelise the clouds of a batch.

        Args:
            points: B tensors (N_b, 3+F), x, y, z in metres first.
            training: whether ``max_voxels`` applies.

        Returns:
            A dict of ``voxels`` (Nv, C), ``xyz`` (Nv, 3) mean positions in metres, ``coors``
            (Nv, 4) int32 [batch, x, y, z], ``counts``, the list of B voxel numbers, and
            ``point2voxel``, the list of B tensors (N_b,) with the voxel of each point, counted
            from the first of the batch; -1 where the voxel was not drawn.

        Raises:
            ValueError: as of :func:`.points.check_points`.
        """
        batch_size = len(points)
        lengths = [len(p) for p in points]
        device = points[0].device
        batch_index = torch.cat(
            [torch.full((n,), sample, device=device) for sample, n in enumerate(lengths)]
        )
        joined = check_points(points)
        features, coors, point2voxel = voxelize(joined, batch_index, self.voxel_size, batch_size)
        if training and self.max_sample_voxels is not None:
            keep = draw_per_sample(coors[:, 0], batch_size, self.max_sample_voxels)
            position = point2voxel.new_full((len(coors),), -1)
            position[keep] = torch.arange(len(keep), device=device)
            features, coors, point2voxel = features[keep], coors[keep], position[point2voxel]
        counts = count_per_sample(coors[:, 0], batch_size).tolist()
        columns = self.feature_columns
        return dict(
            voxels=features if columns is None else features.index_select(1, columns),
            xyz=features[:, :3],
            coors=coors,
            counts=counts,
            point2voxel=list(point2voxel.split(lengths)),
        )
