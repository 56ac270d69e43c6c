"""How the calibration head's time and memory grow with its work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from mmdet3d.registry import MODELS
from torch import Tensor

from nclr_mm.models.heads.calibration_head import Scene
from nclr_mm.models.heads.targets import Cameras

from .timing import median_seconds, peak_tensor_bytes

__all__ = ['HeadLoad', 'measure_head', 'random_scene']

_STRIDE = 4
# Of a camera that looks along x, as of the LiDAR.
_AXES = torch.tensor([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])


@dataclass(frozen=True)
class HeadLoad:
    """Work of the head in one step.

    Attributes:
        batch: samples.
        cameras: of each.
        voxels: of each sample, all of which are drawn for each camera.
        map_size: (height, width) of the feature maps.
    """

    batch: int = 1
    cameras: int = 6
    voxels: int = 4096
    map_size: tuple[int, int] = (56, 104)


def random_scene(load: HeadLoad, channels: int, device: torch.device, seed: int = 0) -> Scene:
    """Random features of voxels all round, and of cameras that look all round.

    Args:
        load: sizes.
        channels: C.
        device: of the tensors.
        seed: of the features.
    """
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device)

    height, width = (side * _STRIDE for side in load.map_size)
    cam2img = torch.tensor([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])
    poses = torch.eye(4).repeat(load.cameras, 1, 1)
    for pose, yaw in zip(poses, torch.arange(load.cameras) * (2 * torch.pi / load.cameras)):
        turn = torch.eye(3)
        turn[0, 0], turn[0, 1], turn[1, 0], turn[1, 1] = yaw.cos(), yaw.sin(), -yaw.sin(), yaw.cos()
        pose[:3, :3] = _AXES @ turn
    shape = load.batch, load.cameras
    return Scene(
        xyz=random(load.batch, load.voxels, 3) * torch.tensor([15.0, 15, 2]).to(device),
        mask=torch.ones(load.batch, load.voxels, dtype=torch.bool, device=device),
        points=random(load.batch, load.voxels, channels).requires_grad_(),
        pixels=random(*shape, load.map_size[0] * load.map_size[1], channels).requires_grad_(),
        cameras=Cameras(
            cam2img.expand(*shape, 3, 3).to(device),
            poses.expand(*shape, 4, 4).to(device),
            (height, width),
            load.map_size,
        ),
        fewest=load.voxels,
    )


def measure_head(
    config: Mapping, load: HeadLoad, device: torch.device | str = 'cpu', repeats: int = 3
) -> dict[str, float]:
    """Time a step of the head alone, forward and backward of all losses with pose, and its memory.

    Args:
        config: of the head; how many voxels it draws is taken from the load.
        load: sizes.
        device: where it runs.
        repeats: whose median is taken.

    Returns:
        ``seconds`` of a step, and ``bytes``, most of tensors at once.
    """
    torch.manual_seed(0)
    device = torch.device(device)
    head = MODELS.build(dict(config, num_voxels=load.voxels, with_pose_loss=True))
    head = head.to(device).train()
    scene = random_scene(load, head.point_in.out_features, device)

    def step() -> None:
        losses = head.loss(scene)
        sum(value for name, value in losses.items() if name.startswith('loss')).backward()
        head.zero_grad()
        scene.points.grad = scene.pixels.grad = None

    return dict(
        seconds=median_seconds(step, repeats, device=device),
        bytes=peak_tensor_bytes(step, device),
    )
