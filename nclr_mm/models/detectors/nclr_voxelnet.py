"""The pretraining detector with the network of SECOND and PV-RCNN."""

from collections.abc import Sequence

from mmdet3d.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from ..layers.bev import read_bev
from ..layers.norms import norms_across_processes
from ..voxel_grid import check_voxel_grid, sparse_shape
from .nclr import NCLR


@MODELS.register_module()
class NCLRVoxelNet(NCLR):
    """NCLR whose point branch is mmdet3d's VoxelNet: voxels, sparse encoder, BEV backbone and neck.

    ``voxel_encoder``, ``middle_encoder``, ``backbone`` and ``neck`` have the names that they have
    in mmdet3d's ``VoxelNet`` (SECOND), ``CenterPoint`` (with prefix ``pts_``) and
    ``PointVoxelRCNN``.

    Args:
        voxel_encoder: mean over the points of a voxel, ``HardSimpleVFE``.
        middle_encoder: sparse encoder, whose result is a BEV map, ``CalibrationSparseEncoder``.
        backbone: BEV backbone.
        neck: brings the maps of the backbone to one.
        point_cloud_range, voxel_size: those of ``data_preprocessor.voxel_layer``, which are taken
            where these are None, as is ``middle_encoder.sparse_shape``.
        kwargs: arguments of :class:`NCLR`.

    Raises:
        VoxelGridError: if a given range, voxel size or shape differs from those of the voxel layer.
    """

    def __init__(
        self,
        voxel_encoder: dict,
        middle_encoder: dict,
        backbone: dict,
        neck: dict,
        point_cloud_range: Sequence[float] | None = None,
        voxel_size: Sequence[float] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(backbone=backbone, **kwargs)
        self.voxel_encoder = MODELS.build(voxel_encoder)
        layer = self.data_preprocessor.voxel_layer
        self.point_cloud_range = list(point_cloud_range or layer.point_cloud_range)
        self.voxel_size = list(voxel_size or layer.voxel_size)
        shape = middle_encoder.get('sparse_shape') or sparse_shape(
            layer.point_cloud_range, layer.voxel_size
        )
        self.middle_encoder = MODELS.build({**middle_encoder, 'sparse_shape': shape})
        self.neck = MODELS.build(neck)
        self._prepare_dense(self.backbone, self.neck)
        check_voxel_grid(self)

    def extract_point_feat(self, voxels: dict) -> Tensor:
        """Run the point branch.

        Args:
            voxels: of the data preprocessor: ``voxels`` (Nv, M, F), ``num_points`` (Nv,),
                ``coors`` (Nv, 4) [batch, z, y, x], ``xyz`` (Nv, 3) and ``counts``.

        Returns:
            (Nv, C) features of the voxels, read from the BEV map at their mean positions.
        """
        coors, counts = voxels['coors'], voxels['counts']
        point_in = self.calib_head.point_in
        if not sum(counts):
            branch = (self.middle_encoder, self.backbone, self.neck, point_in)
            if any(map(norms_across_processes, branch)):
                # The other processes wait for this one: a voxel of zeros.
                return self.extract_point_feat(_one_voxel(voxels))[:0]
            touched = sum(p.sum() for module in branch for p in module.parameters()) * 0
            return voxels['xyz'].new_zeros((0, point_in.out_features)) + touched
        features = self.voxel_encoder(voxels['voxels'], voxels['num_points'], coors)
        features = self.middle_encoder(features, coors, len(counts))
        (bev,) = self.neck(self.backbone(features))
        # Interpolation and a linear layer may change places: 64 channels are read, not 512.
        bev = F.conv2d(bev, point_in.weight[..., None, None], point_in.bias)
        return read_bev(bev, voxels['xyz'], counts, self.point_cloud_range, self.voxel_size)


def _one_voxel(voxels: dict) -> dict:
    """A voxel of zeros in the first sample, in the form of a batch without voxels."""
    one = {
        key: values.new_zeros((1, *values.shape[1:]))
        for key, values in voxels.items()
        if key != 'counts'
    }
    one['num_points'] += 1
    return dict(one, counts=[1, *voxels['counts'][1:]])
