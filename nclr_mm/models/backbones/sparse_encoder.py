"""The sparse encoder of SECOND, PV-RCNN and CenterPoint."""

from mmdet3d.models.middle_encoders import SparseEncoder
from mmdet3d.registry import MODELS
from torch import Tensor

from ..layers.norms import running_statistics_if_alone


@MODELS.register_module()
class CalibrationSparseEncoder(SparseEncoder):
    """SparseEncoder whose parameters, names and results are those of mmdet3d's.

    Checkpoints pass between the two as they are. Where the coarsest level may hold a single voxel,
    for which batch statistics do not exist, the running statistics are used.

    Args:
        args, kwargs: of :class:`mmdet3d.models.SparseEncoder`.
    """

    def forward(
        self, voxel_features: Tensor, coors: Tensor, batch_size: int
    ) -> Tensor | tuple[Tensor, list]:
        """Compute the BEV map.

        Args:
            voxel_features: (Nv, C).
            coors: (Nv, 4) [batch, z, y, x].
            batch_size: number of samples.

        Returns:
            (B, C, Y, X), and with ``return_middle_feats`` the sparse tensors of the stages.
        """
        # All stages but the first halve the grid along x and y.
        stride = 2 ** (self.stage_num - 1)
        with running_statistics_if_alone(self, coors[:, [0, 2, 3]], stride):
            return super().forward(voxel_features, coors, batch_size)
