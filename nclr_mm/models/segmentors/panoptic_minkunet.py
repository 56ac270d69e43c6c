"""Panoptic segmentation with a MinkUNet: a class for each point, an object for those of things."""

from collections.abc import Sequence

import numpy as np
import torch
from mmdet3d.models.segmentors import MinkUNet
from mmdet3d.registry import MODELS, TASK_UTILS
from torch import Tensor


@MODELS.register_module()
class PanopticMinkUNet(MinkUNet):
    """MinkowskiPanoptic: semantic head, offset head, clustering of the shifted voxels.

    Backbone and semantic head have the names of mmdet3d's ``MinkUNet``, so that ``load_from`` takes
    checkpoints of pretraining and of semantic segmentation.

    Args:
        offset_head: predicts the way to the object's centre.
        clustering: finds the clumps of shifted voxels of things.
        thing_labels: labels of the classes with objects.
        min_points: objects with fewer points are no objects (50; 10 on nuScenes).
        kwargs: arguments of ``mmdet3d.models.MinkUNet``.
    """

    def __init__(
        self,
        offset_head: dict,
        clustering: dict,
        thing_labels: Sequence[int],
        min_points: int = 50,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.offset_head = MODELS.build(offset_head)
        self.clustering = TASK_UTILS.build(clustering)
        self.register_buffer('thing_labels', torch.tensor(list(thing_labels)), persistent=False)
        self.min_points = min_points

    def loss(self, inputs: dict, data_samples: list, **kwargs) -> dict[str, Tensor]:
        """Semantic losses and the offset loss."""
        features = self.extract_feat(inputs)
        losses = self.decode_head.loss(features, data_samples, self.train_cfg)
        losses.update(self.offset_head.loss(features, data_samples))
        return losses

    def predict(self, inputs: dict, data_samples: list, **kwargs) -> list:
        """Give each sample ``pred_pts_seg`` with ``pts_semantic_mask`` and ``pts_instance_mask``.

        Instances are counted from 1 in each sample, 0 is none. All points of an object get the
        class that most of them have.
        """
        features = self.extract_feat(inputs)
        logits = self.decode_head.predict(features, data_samples)
        samples = self.postprocess_result([x.transpose(0, 1) for x in logits], data_samples)
        shifted = inputs['voxels']['xyz'] + self.offset_head(features).float()
        for sample, centres in zip(samples, shifted.split(inputs['voxels']['counts']), strict=True):
            self.add_instances(sample, centres)
        return samples

    def add_instances(self, sample, centres: Tensor) -> None:
        """Cluster the shifted voxels ``centres`` (M, 3) of a sample that belong to things."""
        segmentation = sample.pred_pts_seg
        semantic = segmentation.pts_semantic_mask
        point2voxel = sample.point2voxel_map
        is_thing = torch.isin(semantic, self.thing_labels)
        # All points of a voxel have one prediction.
        voxels = torch.unique(point2voxel[is_thing])
        clusters = self.clustering(centres[voxels].cpu().double().numpy())
        cluster_of = point2voxel.new_full((len(centres),), -1)
        cluster_of[voxels] = torch.as_tensor(
            np.asarray(clusters, dtype=np.int64), device=cluster_of.device
        ).to(cluster_of.dtype)
        instance = torch.zeros_like(semantic)
        number = 0
        for cluster in range(int(cluster_of.max().item()) + 1 if len(centres) else 0):
            points = is_thing & (cluster_of[point2voxel] == cluster)
            if int(points.sum()) < self.min_points:
                continue
            number += 1
            instance[points] = number
            semantic[points] = semantic[points].mode().values
        segmentation.pts_instance_mask = instance
