"""Local refinement of a pose without a network: edges of depth on edges of the image.

Where the LiDAR's range jumps an object ends, and there the image mostly has an edge too. The pose
is moved until the jumps lie on edges (the idea of J. Levinson and S. Thrun, Automatic Online
Calibration of Cameras and Lasers, RSS 2013). It needs a start that is off by about a degree and
some decimetres at most, and a scene with edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional as F

from nclr_mm.geometry import (
    in_image,
    make_rigid,
    project,
    rotation_angle,
    transform_points,
)

__all__ = ['Alignment', 'EdgeFrame', 'align_edges', 'depth_edges', 'evenly']

# A step of one unit of the optimiser: half a degree, a decimetre.
_UNITS = torch.tensor([np.deg2rad(0.5)] * 3 + [0.1] * 3, dtype=torch.float64)
# For neighbours beside a point, and above or below it: within which angle, and how azimuths are
# stretched for the search, for a scan's rows are farther apart than the points of a row.
_SIDES = ((np.deg2rad(0.7), 1.0), (np.deg2rad(2.0), 4.0))
_NEIGHBOURS = 12
# Jumps of the range count from 0.3 m and 3 % of it, up to 3 m.
_LOWEST, _LOWEST_SHARE, _HIGHEST = 0.3, 0.03, 3.0
# Points nearer than this to the camera are not looked at (metres).
_NEAREST = 0.5
# Points are looked at up to this share of the image beside it, for the pose will move.
_MARGIN = 0.1
# Blur of the edges in pixels of an image 1000 pixels wide, one stage each.
_SIGMAS = (8.0, 4.0, 2.0)


@dataclass
class EdgeFrame:
    """Edges of a frame, made once for several alignments.

    Attributes:
        points: (M, 3) on edges of depth, in the LiDAR's frame, in metres.
        weights: (M, 2) of edges beside, and above or below.
        maps: (1, 2, H, W) strength of the image's edges along u and along v, 0 to 1; one a stage.
    """

    points: Tensor
    weights: Tensor
    maps: list[Tensor]

    @classmethod
    def of(cls, points: np.ndarray, image: np.ndarray) -> EdgeFrame:
        """Find the edges of points (N, >= 3) and of an image (H, W, 3) uint8 BGR."""
        edges, weights = depth_edges(points)
        return cls(torch.from_numpy(edges), torch.from_numpy(weights), _image_edges(image))


@dataclass
class Alignment:
    """What aligning gave.

    Attributes:
        correction: (4, 4) motion C of the camera's frame; the aligned pose is ``C @ lidar2cam``.
            The identity where nothing was gained.
        score_start, score: how well depth edges lie on image edges before and after, 0 to 1.
        reason: why the pose was left where it was; empty where it was moved.
    """

    correction: np.ndarray
    score_start: float
    score: float
    reason: str = ''


def depth_edges(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the range jumps: half way from the last point on something to what is behind it.

    The last point itself lies inside of the outline by half a step of the scan on average, on all
    sides, and would make everything look smaller.

    Args:
        points: (N, >= 3) in the LiDAR's frame, in metres.

    Returns:
        Points (M, 3) on outlines, at the range of what is in front, in metres; and their weights
        (M, 2), square roots of the jumps in metres, at most of 3 m: of outlines to the left and
        right (first) and above and below (second), the other being 0. Jumps of less than 0.3 m or
        3 % of the range are none.
    """
    xyz = np.asarray(points, dtype=np.float64)[:, :3]
    distance = np.linalg.norm(xyz, axis=1)
    xyz, distance = xyz[distance > 0], distance[distance > 0]
    if len(xyz) < 2:
        return np.zeros((0, 3)), np.zeros((0, 2))
    # Azimuths at the cut behind the LiDAR are not joined: few edges are lost.
    angles = np.stack([np.arctan2(xyz[:, 1], xyz[:, 0]), np.arcsin(xyz[:, 2] / distance)], axis=1)
    lowest = np.maximum(_LOWEST, _LOWEST_SHARE * distance)
    edges, weights = [], []
    for axis, (reach, stretch) in enumerate(_SIDES):
        stretched = angles * [stretch, 1.0]
        number = min(_NEIGHBOURS + 1, len(angles))
        gap, index = cKDTree(stretched).query(stretched, number, distance_upper_bound=reach)
        index = np.where(np.isfinite(gap), index, 0)
        delta = angles[index] - angles[:, None]
        along, across = delta[..., axis], np.abs(delta[..., 1 - axis])
        beside = np.isfinite(gap) & (np.abs(along) > 2 * across)
        for side in (-1, 1):
            reached = np.where(beside & (side * along > 0), gap, np.inf)
            nearest = reached.argmin(axis=1)[:, None]
            other = np.take_along_axis(index, nearest, 1)[:, 0]
            jump = distance[other] - distance
            edge = np.isfinite(np.take_along_axis(reached, nearest, 1)[:, 0]) & (jump >= lowest)
            azimuth, elevation = ((angles[edge] + angles[other[edge]]) / 2).T
            direction = [
                np.cos(elevation) * np.cos(azimuth),
                np.cos(elevation) * np.sin(azimuth),
                np.sin(elevation),
            ]
            edges.append(np.stack(direction, axis=1) * distance[edge, None])
            weight = np.zeros((int(edge.sum()), 2))
            weight[:, axis] = np.sqrt(np.minimum(jump[edge], _HIGHEST))
            weights.append(weight)
    return np.concatenate(edges), np.concatenate(weights)


def evenly(total: int, number: int) -> list[int]:
    """At most ``number`` of ``total`` things, evenly chosen, the first and the last among them."""
    return np.unique(np.linspace(0, total - 1, min(number, total)).astype(int)).tolist()


def align_edges(
    frames: Sequence[EdgeFrame | tuple[np.ndarray, np.ndarray]],
    cam2img: np.ndarray,
    lidar2cam: np.ndarray,
    starts: Sequence[np.ndarray] = (),
    prior: float = 2e-4,
    limits: tuple[float, float] = (2.0, 0.5),
) -> Alignment:
    """Move a camera so that depth edges lie on image edges, from blurred to sharp ones.

    Args:
        frames: edges, or points (N, >= 3) in the LiDAR's frame and image (H, W, 3) uint8 BGR.
        cam2img: (3, 3) of the images, or (F, 3, 3) of each.
        lidar2cam: (4, 4) to begin with, or (F, 4, 4) of each frame, where the rig moves between
            scan and image.
        starts: further corrections (4, 4) to begin with; of all, the result of the best score is
            taken.
        prior: what half a degree or a decimetre away from the beginning of a stage costs.
        limits: degrees and metres; a pose that would be moved farther from its start is not taken.

    Raises:
        ValueError: without a frame.
    """
    if not len(frames):
        raise ValueError('align_edges: there is no frame.')
    intrinsics = torch.as_tensor(np.asarray(cam2img, dtype=np.float64))
    intrinsics = intrinsics.expand(len(frames), 3, 3)
    poses = torch.as_tensor(np.array(lidar2cam, dtype=np.float64)).expand(len(frames), 4, 4)
    still = torch.eye(4, dtype=torch.float64)
    begins = [still, *(torch.as_tensor(np.array(s, dtype=np.float64)) for s in starts)]
    edges = [
        _edges(frame, [begin @ pose for begin in begins], camera)
        for frame, pose, camera in zip(frames, poses, intrinsics)
    ]
    best = None
    for start in begins:
        views = [_in_view(*view, start) for view in zip(edges, poses, intrinsics)]
        pose = start
        for stage in range(len(_SIGMAS)):
            score = partial(_score, views=views, stage=stage, cam2img=intrinsics)
            pose = _climb(score, pose, prior)
        if best is None:
            before = float(score(still))
            reason = 'no pose nearby lays the edges better'
            best = Alignment(still.numpy(), before, before, reason)
        after = float(score(pose))
        if after <= best.score:
            continue
        angle = float(torch.rad2deg(rotation_angle(start[:3, :3], pose[:3, :3])))
        shift = float((pose - start)[:3, 3].norm())
        if angle > limits[0] or shift > limits[1]:
            if best.reason:
                best.reason = f'it would have been moved by {angle:.1f} deg, {shift:.2f} m'
            continue
        best = Alignment(pose.numpy(), before, after)
    return best


def _edges(
    frame: EdgeFrame | tuple[np.ndarray, np.ndarray], poses: Sequence[Tensor], cam2img: Tensor
) -> EdgeFrame:
    """Edges of a frame; only of the points that are in view of one of the poses."""
    if isinstance(frame, EdgeFrame):
        return frame
    points, image = frame
    xyz = torch.from_numpy(np.asarray(points, dtype=np.float64)[:, :3])
    seen = [_near(transform_points(pose, xyz), cam2img, *image.shape[:2]) for pose in poses]
    return EdgeFrame.of(xyz[torch.stack(seen).any(dim=0)].numpy(), image)


def _in_view(frame: EdgeFrame, lidar2cam: Tensor, cam2img: Tensor, start: Tensor) -> EdgeFrame:
    """Edges that fall into the image or beside it, their points in the frame of the camera."""
    cam = transform_points(lidar2cam, frame.points)
    kept = _near(transform_points(start, cam), cam2img, *frame.maps[0].shape[-2:])
    return EdgeFrame(cam[kept], frame.weights[kept], frame.maps)


def _near(cam: Tensor, cam2img: Tensor, height: int, width: int) -> Tensor:
    """Which points (N, 3) of the camera's frame are in the image or beside it."""
    uv, depth = project(cam, cam2img)
    share = uv / uv.new_tensor([width, height]) - 0.5
    return (depth > _NEAREST) & (share.abs() < 0.5 + _MARGIN).all(dim=1)


def _image_edges(image: np.ndarray) -> list[Tensor]:
    """Strength of edges along u and along v, 0 to 1, blurred for each stage: (1, 2, H, W)."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (0, 0), 1.0)
    strengths = []
    for du, dv in ((1, 0), (0, 1)):
        strength = np.abs(cv2.Sobel(grey.astype(np.float64), cv2.CV_64F, du, dv))
        high = np.quantile(strength, 0.98)
        strengths.append(np.minimum(strength / high, 1) if high > 0 else strength)
    blurs = [max(sigma * image.shape[1] / 1000, 0.5) for sigma in _SIGMAS]
    blurred = ([cv2.GaussianBlur(s, (0, 0), blur) for s in strengths] for blur in blurs)
    return [torch.from_numpy(np.stack(maps)).float()[None] for maps in blurred]


def _score(correction: Tensor, views: Sequence[EdgeFrame], stage: int, cam2img: Tensor) -> Tensor:
    """Mean strength of the image edges under the depth edges, weighted by these."""
    total, weight = correction.sum() * 0, 1e-9
    for view, camera in zip(views, cam2img):
        height, width = view.maps[stage].shape[-2:]
        uv, depth = project(transform_points(correction, view.points), camera)
        inside = in_image(uv, depth, height, width, _NEAREST)
        grid = ((2 * uv[inside] + 1) / uv.new_tensor([width, height]) - 1).float()
        read = F.grid_sample(
            view.maps[stage], grid[None, None], padding_mode='border', align_corners=False
        )[0, :, 0].T
        weights = view.weights[inside]
        total = total + (read * weights).sum()
        weight = weight + weights.sum()
    return total / weight


def _climb(score: Callable[[Tensor], Tensor], start: Tensor, prior: float) -> Tensor:
    """The pose near ``start`` of the best score, less what its distance costs."""

    def cost(x: np.ndarray) -> tuple[float, np.ndarray]:
        motion = torch.tensor(x, requires_grad=True)
        value = prior * motion.square().sum() - score(_moved(start, motion))
        value.backward()
        return value.item(), motion.grad.numpy()

    found = minimize(cost, np.zeros(6), jac=True, method='BFGS', options=dict(maxiter=50))
    return _moved(start, torch.from_numpy(found.x)).detach()


def _moved(pose: Tensor, motion: Tensor) -> Tensor:
    """The pose, then a motion (6,) of the camera's frame in units of the optimiser."""
    w, shift = (motion * _UNITS).split(3)
    zero = w.new_zeros(())
    skew = torch.stack([zero, -w[2], w[1], w[2], zero, -w[0], -w[1], w[0], zero]).reshape(3, 3)
    return make_rigid(torch.linalg.matrix_exp(skew), shift) @ pose
