"""Data preprocessor of the segmentors."""

from collections.abc import Sequence

import torch
from mmdet3d.registry import MODELS
from torch import Tensor

from .voxel_data_preprocessor import VoxelDataPreprocessor


def voxel_labels(labels: Tensor, point2voxel: Tensor, number: int, ignore_index: int) -> Tensor:
    """Label of each voxel: the one that most of its points have, ignored points aside.

    Args:
        labels: (N,) labels of the points, 0 to ``ignore_index``.
        point2voxel: (N,) voxel of each point, -1 for none.
        number: number of voxels.
        ignore_index: label of points that belong to no class; a voxel of such points alone has it.

    Returns:
        (number,) int64 labels; of two that are as frequent the lower.
    """
    kept = point2voxel >= 0
    index = point2voxel[kept] * (ignore_index + 1) + labels[kept].long()
    votes = torch.bincount(index, minlength=number * (ignore_index + 1))
    votes = votes.view(number, ignore_index + 1)[:, :ignore_index]
    most, label = votes.max(dim=1)
    return torch.where(most > 0, label, ignore_index)


def voxel_offsets(
    points: Tensor, instance: Tensor, of_object: Tensor, point2voxel: Tensor, xyz: Tensor
) -> Tensor:
    """Way from each voxel to the centre of its object.

    Args:
        points: (N, 3) positions in metres.
        instance: (N,) int64 object of each point.
        of_object: (N,) bool, whether the point belongs to an object.
        point2voxel: (N,) voxel of each point, -1 for none.
        xyz: (M, 3) mean positions of the voxels.

    Returns:
        (M, 3) centre minus position, the centre being the mean of the object's points; NaN for
        voxels of no object. A voxel with points of several objects belongs to the last of them.
    """
    offsets = xyz.new_full((len(xyz), 3), torch.nan)
    kept = of_object & (point2voxel >= 0)
    if not kept.any():
        return offsets
    _, index = torch.unique(instance[of_object], return_inverse=True)
    number = int(index.max()) + 1
    sums = points.new_zeros((number, 3)).index_add_(0, index, points[of_object])
    centres = sums / torch.bincount(index, minlength=number)[:, None].to(sums.dtype)
    own = point2voxel.new_full((len(instance),), -1)
    own[of_object] = index.to(own.dtype)
    # In the order of objects, so that the result does not depend on the order of the points.
    owner = point2voxel.new_full((len(xyz),), -1)
    owner = owner.scatter_reduce(0, point2voxel[kept], own[kept], 'amax')
    found = owner >= 0
    offsets[found] = centres[owner[found]] - xyz[found]
    return offsets


@MODELS.register_module()
class SegmentationDataPreprocessor(VoxelDataPreprocessor):
    """Voxelise points and their labels for mmdet3d's MinkUNet and SPVCNN segmentors.

    Voxels are those of the pretraining, :class:`CalibrationDataPreprocessor` with the same
    arguments, so that the backbone sees what it was pretrained on.

    Args:
        voxel_size: edge lengths (x, y, z) in metres.
        ignore_index: label of points that belong to no class.
        thing_labels: labels of the classes with objects; with them, in training, samples get
            ``gt_pts_seg.voxel_offset``, see :func:`voxel_offsets`.
        max_voxels: at most so many voxels a sample in training, drawn at random; ``None``: all.
        feature_columns: columns of the voxel means that the backbone sees; ``None`` passes all.
    """

    def __init__(
        self, *args, ignore_index: int, thing_labels: Sequence[int] | None = None, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.ignore_index = ignore_index
        things = None if thing_labels is None else torch.tensor(list(thing_labels))
        self.register_buffer('thing_labels', things, persistent=False)

    def simple_process(self, data: dict, training: bool = False) -> dict:
        """Process one batch.

        Args:
            data: ``inputs`` with ``points`` (list of B tensors (N_b, 3+F)) and ``data_samples``.
            training: whether ``max_voxels`` applies, and labels are voxelised.

        Returns:
            ``inputs`` with ``points`` and ``voxels`` (see :meth:`make_voxels`), and
            ``data_samples``, each with ``batch_idx`` (M,) and ``point2voxel_map`` (N,), where
            mmdet3d's head looks for them, and in training ``gt_pts_seg.voxel_semantic_mask`` (M,).
        """
        data = super().simple_process(data, training)
        inputs, samples = data['inputs'], data['data_samples']
        voxels = inputs['voxels'] = self.make_voxels(inputs['points'], training)
        first = 0
        for i, (sample, count) in enumerate(zip(samples or (), voxels['counts'], strict=False)):
            point2voxel = voxels['point2voxel'][i]
            point2voxel = torch.where(point2voxel >= 0, point2voxel - first, -1)
            xyz = voxels['xyz'][first : first + count]
            sample.batch_idx = voxels['coors'].new_full((count,), i)
            sample.point2voxel_map = point2voxel
            if training:
                sample.gt_pts_seg.voxel_semantic_mask = voxel_labels(
                    sample.gt_pts_seg.pts_semantic_mask, point2voxel, count, self.ignore_index
                )
            if training and self.thing_labels is not None:
                truth = sample.gt_pts_seg
                # Points of things that belong to no object have their class for a number.
                of_object = torch.isin(truth.pts_semantic_mask, self.thing_labels) & (
                    truth.pts_instance_mask > self.ignore_index
                )
                truth.voxel_offset = voxel_offsets(
                    inputs['points'][i][:, :3].float(),
                    truth.pts_instance_mask,
                    of_object,
                    point2voxel,
                    xyz,
                )
            first += count
        return data
