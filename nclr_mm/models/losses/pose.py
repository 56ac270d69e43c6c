"""Loss between poses."""

from mmdet3d.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from .averaging import batch_mean


@MODELS.register_module()
class PoseLoss(nn.Module):
    """Smooth L1 on the rotation matrix plus a weighted smooth L1 on the translation.

    Args:
        rotation_weight: factor of the rotation part (1 in the official settings).
        translation_weight: factor of the translation part, per metre (0.01 in the official
            settings).
    """

    def __init__(self, rotation_weight: float = 1.0, translation_weight: float = 0.01) -> None:
        super().__init__()
        self.rotation_weight = rotation_weight
        self.translation_weight = translation_weight

    def forward(
        self, rotation: Tensor, translation: Tensor, target: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean over the valid poses of all processes; zero, and connected, where there is none.

        Args:
            rotation: (N, 3, 3) predicted rotations.
            translation: (N, 3) predicted translations in metres.
            target: (N, 4, 4) true LiDAR-to-camera poses.
            valid: (N,) bool.

        Returns:
            Rotation loss and translation loss, scalars.
        """
        mean_rotation = F.smooth_l1_loss(rotation, target[:, :3, :3], reduction='none').mean((1, 2))
        mean_translation = F.smooth_l1_loss(translation, target[:, :3, 3], reduction='none').mean(1)
        return (
            self.rotation_weight * batch_mean(mean_rotation, valid),
            self.translation_weight * batch_mean(mean_translation, valid),
        )
