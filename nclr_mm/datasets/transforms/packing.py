"""The end of a pipeline."""

from __future__ import annotations

import numpy as np
from mmdet3d.datasets.transforms import Pack3DDetInputs
from mmdet3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackLidarInputs(Pack3DDetInputs):
    """mmdet3d's Pack3DDetInputs, for points of ``LoadLidarPoints``.

    Beside ``meta_keys`` it packs ``num_unmeasured_points``, which that counts.

    Args:
        kwargs: arguments of :class:`mmdet3d.datasets.transforms.Pack3DDetInputs`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.meta_keys = (*self.meta_keys, 'num_unmeasured_points')


@TRANSFORMS.register_module()
class PackCalibrationInputs(PackLidarInputs):
    """PackLidarInputs, for the cameras of a rig.

    Beside these it packs the metainfo ``rig2cam`` (V, 4, 4), the relative poses of the cameras: it
    takes the frame of the first camera to each camera, and so holds nothing of the pose that is
    looked for. It comes from ``lidar2cam``, unless ``results`` has a ``rig2cam`` of its own, which
    may be None where the relative poses are not known.

    Args:
        kwargs: arguments of :class:`mmdet3d.datasets.transforms.Pack3DDetInputs`.

    Raises:
        ValueError: naming the cameras and their sizes.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.meta_keys = (*self.meta_keys, 'rig2cam')

    def pack_single_results(self, results: dict) -> dict:
        sizes = {image.shape[1::-1] for image in results.get('img', ())}
        if len(sizes) > 1:
            found = (
                f'{name} {image.shape[1]}x{image.shape[0]}'
                for name, image in zip(results['cam_names'], results['img'], strict=True)
            )
            raise ValueError(
                f'The images of a sample must have one size, but are {", ".join(found)}; '
                'ResizeImages brings them to one.'
            )
        if 'rig2cam' not in results and len(results.get('lidar2cam', ())):
            results['rig2cam'] = results['lidar2cam'] @ np.linalg.inv(results['lidar2cam'][0])
        if 'lidar_path' in results.get('lidar_points', ()):
            # mmdet3d looks for it there only where there are no images.
            results.setdefault('lidar_path', results['lidar_points']['lidar_path'])
        return super().pack_single_results(results)
