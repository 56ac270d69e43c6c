"""Data preprocessor of detectors."""

from mmdet3d.models import Det3DDataPreprocessor
from mmdet3d.registry import MODELS

from ..voxel_grid import check_voxel_layer
from .points import check_points


@MODELS.register_module()
class CheckedDet3DDataPreprocessor(Det3DDataPreprocessor):
    """mmdet3d's Det3DDataPreprocessor, which refuses points that would spoil the weights.

    Args:
        kwargs: of :class:`mmdet3d.models.Det3DDataPreprocessor`.

    Raises:
        VoxelGridError: as of :func:`nclr_mm.models.voxel_grid.check_voxel_layer`.
    """

    def __init__(self, **kwargs) -> None:
        if kwargs.get('voxel') and kwargs.get('voxel_type', 'hard') in ('hard', 'dynamic'):
            check_voxel_layer(kwargs.get('voxel_layer') or {})
        super().__init__(**kwargs)

    def simple_process(self, data: dict, training: bool = False) -> dict:
        """Process one batch; takes and returns what mmdet3d's does.

        Raises:
            ValueError: as of :func:`.points.check_points`.
        """
        check_points(data['inputs']['points'])
        return super().simple_process(data, training)
