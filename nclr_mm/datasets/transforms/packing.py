"""The end of a pipeline."""

from __future__ import annotations

from mmdet3d.datasets.transforms import Pack3DDetInputs
from mmdet3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackCalibrationInputs(Pack3DDetInputs):
    """mmdet3d's Pack3DDetInputs, which says so where the cameras' images are of several sizes.

    Args:
        kwargs: arguments of :class:`mmdet3d.datasets.transforms.Pack3DDetInputs`.

    Raises:
        ValueError: naming the cameras and their sizes.
    """

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
        return super().pack_single_results(results)
