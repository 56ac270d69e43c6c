"""Batched EPnP against OpenCV's in a loop."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from nclr_mm.geometry import epnp

from .timing import median_seconds

__all__ = ['measure_pnp', 'pnp_problems']


def pnp_problems(
    problems: int, points: int, noise: float, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Problems of points before a camera, with known poses.

    Args:
        problems: number B.
        points: of each, P.
        noise: standard deviation of the pixels on the plane z = 1.
        seed: of the drawing.

    Returns:
        points (B, P, 3), pixels (B, P, 2), rotations (B, 3, 3), translations (B, 3).
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rotation, _ = torch.linalg.qr(normal(problems, 3, 3))
    rotation = rotation * torch.linalg.det(rotation)[:, None, None]
    shift = normal(problems, 3)
    seen = normal(problems, points, 3) * 3
    seen[..., 2] = seen[..., 2].abs() + 6
    pixels = seen[..., :2] / seen[..., 2:] + noise * normal(problems, points, 2)
    world = (seen - shift[:, None]) @ rotation  # R^T (p - t), as rows
    return world, pixels, rotation, shift


def measure_pnp(
    problems: int = 60, points: int = 128, noise: float = 0.002, repeats: int = 9
) -> dict[str, float]:
    """Time both, and compare their errors.

    Args:
        problems: number; 60 is ten samples of six cameras.
        points: of each.
        noise: of the pixels on the plane z = 1.
        repeats: whose median is taken.

    Returns:
        Seconds ``forward``, ``forward_backward``, ``opencv`` and ``opencv_refined``, which
        minimises the reprojection error as this project does; median errors of the rotations in
        degrees, ``rotation_deg``, ``opencv_rotation_deg`` and ``opencv_refined_rotation_deg``.
    """
    world, pixels, rotation, _ = pnp_problems(problems, points, noise)
    single, single_pixels = world.float(), pixels.float()
    given = world.numpy(), pixels.numpy()

    def solve() -> Tensor:
        return epnp(single, single_pixels).R

    def with_gradient() -> None:
        wanted = single_pixels.clone().requires_grad_()
        solved = epnp(single, wanted)
        (solved.R.sum() + solved.t.sum()).backward()

    def opencv(refined: bool = False) -> list[np.ndarray]:
        rotations = []
        for x, m in zip(*given):
            _, turn, shift = cv2.solvePnP(x, m, np.eye(3), None, flags=cv2.SOLVEPNP_EPNP)
            if refined:
                turn, shift = cv2.solvePnPRefineLM(x, m, np.eye(3), None, turn, shift)
            rotations.append(cv2.Rodrigues(turn)[0])
        return rotations

    def degrees(found: Tensor) -> float:
        trace = (found.double() * rotation).sum((-2, -1))
        return float(torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos()).median())

    return dict(
        forward=median_seconds(solve, repeats),
        forward_backward=median_seconds(with_gradient, repeats),
        opencv=median_seconds(opencv, repeats),
        opencv_refined=median_seconds(lambda: opencv(refined=True), repeats),
        rotation_deg=degrees(solve()),
        opencv_rotation_deg=degrees(torch.from_numpy(np.stack(opencv()))),
        opencv_refined_rotation_deg=degrees(torch.from_numpy(np.stack(opencv(refined=True)))),
    )
