"""Semantic head with two losses."""

from mmdet3d.models.decode_heads import MinkUNetHead
from mmdet3d.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class LovaszMinkUNetHead(MinkUNetHead):
    """mmdet3d's MinkUNetHead with a Lovasz loss beside the cross entropy.

    Parameters and names are those of ``MinkUNetHead``.

    Args:
        loss_lovasz: the second loss, as mmdet3d's ``LovaszLoss``.
        kwargs: arguments of ``mmdet3d.models.MinkUNetHead``.
    """

    def __init__(self, *args, loss_lovasz: dict, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.loss_lovasz = MODELS.build(loss_lovasz)

    def loss_by_feat(self, seg_logit: Tensor, batch_data_samples: list) -> dict[str, Tensor]:
        """Both losses of logits (Nv, classes).

        The Lovasz loss is zero where fewer than two voxels count: mmdet3d squeezes a single one
        out of shape, and there is no ranking of one.
        """
        losses = super().loss_by_feat(seg_logit, batch_data_samples)
        labels = self._stack_batch_gt(batch_data_samples)
        known = labels != self.ignore_index
        losses['loss_lovasz'] = (
            self.loss_lovasz(seg_logit[known], labels[known])
            if known.sum() > 1
            else 0 * seg_logit.sum()
        )
        return losses
