"""The costly parts of a pretraining step, written plainly: a yardstick that fits any machine.

Each does what a straightforward program would do: every gradient is kept, a similarity is a stored
matrix, cameras are taken one after the other, pictures are decoded at full size. Times of the same
process compare with these times, whatever machine it runs on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from mmdet3d.registry import MODELS
from torch import Tensor, nn

from .timing import median_seconds

__all__ = ['Reference', 'load_images', 'plain_bev_backbone', 'reference_seconds']


@dataclass(frozen=True)
class Reference:
    """Sizes of the reference; those of the official settings on nuScenes.

    Attributes:
        cameras: images a sample.
        image_size: (height, width) of the network's images.
        stride: of the feature maps.
        voxels: drawn a camera.
        channels: of features.
        pairs: contrastive pairs.
        bev: cells along each side of the BEV map, and its channels.
        points: of the scan.
    """

    cameras: int = 6
    image_size: tuple[int, int] = (224, 416)
    stride: int = 4
    voxels: int = 4096
    channels: int = 64
    pairs: int = 1024
    bev: tuple[int, int] = (256, 256)
    points: int = 30000

    @property
    def cells(self) -> int:
        """Cells of a feature map."""
        return math.prod(side // self.stride for side in self.image_size)


def plain_bev_backbone(channels: int) -> nn.Module:
    """SECOND's BEV backbone and neck as one chain of convolutions.

    Its two stages of 5 layers with 128 and 256 filters, and the 1x1 and 2x2 layers of the neck,
    here one after the other, which costs the same.
    """
    layers: list[nn.Module] = []

    def conv(inputs: int, outputs: int, stride: int = 1) -> None:
        layers.append(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False))
        layers.extend([nn.BatchNorm2d(outputs), nn.ReLU()])

    conv(channels, 128)
    for _ in range(5):
        conv(128, 128)
    conv(128, 256, stride=2)
    for _ in range(5):
        conv(256, 256)
    layers += [nn.ConvTranspose2d(256, 256, 2, 2, bias=False), nn.BatchNorm2d(256), nn.ReLU()]
    layers += [nn.Conv2d(256, 64, 1)]
    return nn.Sequential(*layers)


def quadratic_attention(queries: Tensor, context: Tensor) -> Tensor:
    """Attention with its whole matrix of weights."""
    weights = torch.softmax(queries @ context.mT / math.sqrt(queries.shape[-1]), dim=-1)
    return weights @ context


def load_images(paths: Sequence[Path], size: tuple[int, int]) -> list:
    """Decode pictures at full size, and resize them to (height, width)."""
    images = [cv2.imread(str(path)) for path in paths]
    return [cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA) for image in images]


def image_branch(sizes: Reference) -> Callable[[], None]:
    """A ResNet-50 forward, of which a graph is kept."""
    resnet = MODELS.build(dict(type='mmdet.ResNet', depth=50, out_indices=(3,)))
    images = torch.randn(sizes.cameras, 3, *sizes.image_size)

    def run() -> None:
        resnet(images)

    return run


def bev_branch(sizes: Reference) -> Callable[[], None]:
    """The BEV backbone in float32, forward and backward."""
    cells, channels = sizes.bev
    network = plain_bev_backbone(channels)
    bev = torch.randn(1, channels, cells, cells, requires_grad=True)

    def run() -> None:
        network(bev).sum().backward()

    return run


def attention(sizes: Reference) -> Callable[[], None]:
    """Attention of both directions, camera by camera, forward and backward."""
    shape = sizes.cameras, sizes.voxels, sizes.channels
    points = torch.randn(shape, requires_grad=True)
    pixels = torch.randn(sizes.cameras, sizes.cells, sizes.channels, requires_grad=True)

    def run() -> None:
        total = points.new_zeros(())
        for voxel, pixel in zip(points, pixels):
            total = total + quadratic_attention(voxel, pixel).sum()
            total = total + quadratic_attention(pixel, voxel).sum()
        total.backward()

    return run


def camera_loops(sizes: Reference) -> Callable[[], None]:
    """Projection, drawing, overlap and contrast, camera by camera."""
    points = torch.randn(sizes.points, 3) * 20
    features = torch.randn(sizes.points, sizes.channels, requires_grad=True)
    maps = torch.randn(sizes.cameras, sizes.channels, sizes.cells, requires_grad=True)
    pose, intrinsics = torch.eye(4), torch.tensor([[50.0, 0, 52], [0, 50, 28], [0, 0, 1]])
    height, width = (side // sizes.stride for side in sizes.image_size)

    def run() -> None:
        total = features.new_zeros(())
        for feature_map in maps:
            seen = points @ pose[:3, :3].T + pose[:3, 3]
            uv = seen @ intrinsics.T
            uv = uv[:, :2] / uv[:, 2:].clamp(min=1e-3)
            inside = (seen[:, 2] > 0) & (uv[:, 0] >= 0) & (uv[:, 0] < width)
            inside &= (uv[:, 1] >= 0) & (uv[:, 1] < height)
            drawn = torch.randint(sizes.points, (sizes.voxels,))
            score = features[drawn].sum(-1).sigmoid()
            total = total + nn.functional.binary_cross_entropy(score, inside[drawn].float())
            pair = torch.where(inside)[0][: sizes.pairs // sizes.cameras]
            cell = (uv[pair, 1].long() * width + uv[pair, 0].long()).clamp(0, sizes.cells - 1)
            similarity = features[pair] @ feature_map[:, cell] / 0.07
            target = torch.arange(len(pair))
            total = total + nn.functional.cross_entropy(similarity, target)
        total.backward()

    return run


_PARTS = {
    'ResNet-50 forward': image_branch,
    'BEV convolutions': bev_branch,
    'quadratic attention': attention,
    'camera by camera': camera_loops,
}


def reference_seconds(
    sizes: Reference | None = None,
    repeats: int = 3,
    images: Sequence[Path] = (),
    voxelnet: bool = True,
) -> dict[str, float]:
    """Time the reference on the CPU.

    Args:
        sizes: of the work.
        repeats: of each part, whose median is taken.
        images: pictures of one sample to decode; without them, loading is left out.
        voxelnet: whether the BEV backbone is part of it.

    Returns:
        Part -> seconds; ``loading`` is that of the pictures.
    """
    sizes = sizes or Reference()
    seconds = {}
    for name, build in _PARTS.items():
        if voxelnet or build is not bev_branch:
            seconds[name] = median_seconds(build(sizes), repeats)
    if images:
        seconds['loading'] = median_seconds(lambda: load_images(images, sizes.image_size), repeats)
    return seconds
