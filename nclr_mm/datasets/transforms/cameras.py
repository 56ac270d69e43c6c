from __future__ import annotations

import random

from mmcv.transforms import BaseTransform
from mmdet3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SampleCameras(BaseTransform):
    """Keep ``num`` cameras of a sample, drawn at random, in their order.

    It makes training steps cheap on rigs of many cameras. It stands before
    LoadCalibratedImages, so that the other images are not even read.
    """

    def __init__(self, num: int) -> None:
        if num < 1:
            raise ValueError(f'num must be at least 1, got {num}.')
        self.num = num

    def transform(self, results: dict) -> dict:
        if 'img' in results:
            raise ValueError('SampleCameras must stand before LoadCalibratedImages.')
        names = list(results['images'])
        if self.num > len(names):
            raise ValueError(f'SampleCameras wants {self.num} cameras of {len(names)}.')
        chosen = random.sample(names, self.num)
        results['images'] = {n: results['images'][n] for n in names if n in chosen}
        return results
