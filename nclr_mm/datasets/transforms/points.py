from __future__ import annotations

from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ScalePointIntensity(BaseTransform):
    """Multiply the intensity, the fourth number of each point, by ``scale``.

    nuScenes and Waymo-like sensors give 0 to 255, KITTI 0 to 1; networks want the latter.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def transform(self, results: dict) -> dict:
        results['points'].tensor[:, 3] *= self.scale
        return results
