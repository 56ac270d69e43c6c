"""Ground truth of the calibration head, from the matrices alone."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nclr_mm.geometry import (
    in_image,
    occlusion_mask,
    pixel_occupancy,
    project,
    scale_intrinsics,
    transform_points,
)


@dataclass
class Cameras:
    """The true cameras of a batch.

    Attributes:
        cam2img: (B, V, 3, 3) intrinsics in pixels of the network's input image.
        lidar2cam: (B, V, 4, 4) true poses.
        image_size: (H, W) of the input image.
        map_size: (h, w) of the feature map.
        rig2cam: of each sample (V, 4, 4) float64, takes the frame of the rig to each camera, or
            None where the relative poses of the cameras are not known; None where they are for no
            sample.
    """

    cam2img: Tensor
    lidar2cam: Tensor
    image_size: tuple[int, int]
    map_size: tuple[int, int]
    rig2cam: list[np.ndarray | None] | None = None

    @classmethod
    def from_samples(
        cls,
        data_samples: list,
        image_size: tuple[int, int],
        map_size: tuple[int, int],
        device: torch.device,
    ) -> 'Cameras':
        """Stack the matrices of the data samples onto the device, in float32; but ``rig2cam``."""

        def stack(name: str, size: int) -> Tensor:
            matrices = []
            for sample in data_samples:
                if name not in sample.metainfo:
                    raise KeyError(
                        f'The data samples need the meta key {name!r}; add it to the meta_keys '
                        'of the transform that packs the inputs.'
                    )
                matrix = np.asarray(sample.metainfo[name], dtype=np.float32)
                if matrix.ndim != 3 or matrix.shape[1:] != (size, size):
                    raise ValueError(
                        f'{name} of a sample must be (cameras, {size}, {size}), not {matrix.shape}.'
                    )
                matrices.append(matrix)
            return torch.from_numpy(np.stack(matrices)).to(device, non_blocking=True)

        rigs = [sample.metainfo.get('rig2cam') for sample in data_samples]
        return cls(
            stack('cam2img', 3),
            stack('lidar2cam', 4),
            image_size,
            map_size,
            [None if rig is None else np.asarray(rig, dtype=np.float64) for rig in rigs],
        )

    @property
    def map_scale(self) -> tuple[float, float]:
        """Feature-map cells a pixel, (x, y)."""
        return (
            self.map_size[1] / self.image_size[1],
            self.map_size[0] / self.image_size[0],
        )

    def to_image(self, cells: Tensor) -> Tensor:
        """Take feature-map coordinates (..., 2) to pixels of the input image."""
        scale = cells.new_tensor(self.map_scale)
        return (cells + 0.5) / scale - 0.5


@dataclass
class Targets:
    """What the cameras truly see, in feature-map cells.

    Attributes:
        uv: (B, V, N, 2) projections of the voxels.
        visible: (B, V, N) bool, the voxel projects into the image (and is not hidden).
        occupied: (B, V, h, w) bool, a visible voxel falls on the cell.
    """

    uv: Tensor
    visible: Tensor
    occupied: Tensor


@torch.no_grad()
def calibration_targets(
    xyz: Tensor, mask: Tensor, cameras: Cameras, occlusion: dict | None = None
) -> Targets:
    """Project all voxels of a batch into all cameras.

    Args:
        xyz: (B, N, 3) voxel positions in metres, padded.
        mask: (B, N) bool, false for padding.
        cameras: the true cameras.
        occlusion: arguments of :func:`nclr_mm.geometry.occlusion_mask`; with them, voxels hidden
            behind nearer ones do not count as visible. ``None`` is the official release's form.
    """
    height, width = cameras.map_size
    intrinsics = scale_intrinsics(cameras.cam2img, *cameras.map_scale)
    in_camera = transform_points(cameras.lidar2cam, xyz[:, None].float())
    uv, depth = project(in_camera, intrinsics)
    visible = in_image(uv, depth, height, width) & mask[:, None]
    if occlusion is not None:
        visible = visible & ~occlusion_mask(uv, depth, visible, height, width, **occlusion)
    return Targets(uv, visible, pixel_occupancy(uv, visible, height, width))
