"""Data preprocessor of the pretraining detector with mmdet3d's own voxels."""

import logging

from mmdet3d.registry import MODELS
from mmengine.logging import print_log

from ..voxel_grid import check_voxel_layer
from .images import ImageBatchPreprocessor
from .points import check_points
from .voxelize import count_per_sample


@MODELS.register_module()
class HardVoxelCalibrationDataPreprocessor(ImageBatchPreprocessor):
    """Normalise the images, and make the voxels of SECOND and PV-RCNN: of fixed range and capacity.

    Args:
        voxel_layer: arguments of mmdet3d's hard voxelisation: ``voxel_size``,
            ``point_cloud_range``, ``max_num_points``, ``max_voxels`` (training, test).
        kwargs: image arguments of :class:`mmdet3d.models.Det3DDataPreprocessor` (``mean``,
            ``std``, ``bgr_to_rgb``, ...).

    Raises:
        VoxelGridError: as of :func:`nclr_mm.models.voxel_grid.check_voxel_layer`.
    """

    def __init__(self, voxel_layer: dict, **kwargs) -> None:
        check_voxel_layer(voxel_layer)
        self._warned = False
        super().__init__(voxel=True, voxel_type='hard', voxel_layer=voxel_layer, **kwargs)

    def simple_process(self, data: dict, training: bool = False) -> dict:
        """Process one batch.

        Args:
            data: as for :class:`CalibrationDataPreprocessor`.
            training: unused here; the voxel layer follows the module's own mode.

        Returns:
            ``inputs`` with ``points``, ``imgs`` (B, V, 3, H, W) and ``voxels``, and
            ``data_samples``. ``voxels`` has ``voxels`` (Nv, M, F), ``num_points`` (Nv,), ``coors``
            (Nv, 4) [batch, z, y, x], ``xyz`` (Nv, 3) mean positions in metres, and ``counts``, the
            list of B voxel numbers.

        Raises:
            ValueError: as of :func:`.points.check_points`.
        """
        check_points(data['inputs']['points'])
        data = super().simple_process(data, training)
        voxels = data['inputs']['voxels']
        number = voxels['num_points'].to(voxels['voxels'].dtype)
        voxels['xyz'] = voxels['voxels'][..., :3].sum(dim=1) / number[:, None]
        batch_size = len(data['inputs']['points'])
        voxels['counts'] = count_per_sample(voxels['coors'][:, 0], batch_size).tolist()
        self._warn_of_capacity(max(voxels['counts'], default=0))
        return data

    def _warn_of_capacity(self, number: int) -> None:
        """Say once that voxels may have been left out, which mmdet3d does silently."""
        layer = self.voxel_layer
        limit = layer.max_voxels[0 if layer.training else 1]
        if number >= limit and not self._warned:
            self._warned = True
            print_log(
                f'A scan fills all of max_voxels={limit}: those that come last in it are left out.',
                'current',
                logging.WARNING,
            )
