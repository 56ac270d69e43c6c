"""One sheet that shows what a model made of one camera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch

from nclr_mm.geometry import (
    in_image,
    pixel_occupancy,
    project,
    rotation_angle,
    scale_intrinsics,
    transform_points,
)

from .features import feature_colors
from .overlay import (
    draw_colors,
    draw_matches,
    draw_points,
    overlay_heatmap,
    project_overlay,
    tile,
)

__all__ = ['calibration_sheet', 'sample_sheets']

# Width in pixels that a small image is enlarged to at least, so that a sheet can be read.
_LEGIBLE_WIDTH = 600


def sample_sheets(
    images: Sequence[torch.Tensor], points: torch.Tensor, sample: Any
) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the sheet of each camera of a sample (:func:`calibration_sheet`).

    Args:
        images: V of (3, H, W) uint8 BGR, as the network got them.
        points: (N, >= 3) in the LiDAR's frame, as the network got them, in metres.
        sample: the data sample with ``pred_calib`` and the calibration as metainfo.

    Yields:
        Name of the camera (its number where the sample has no names) and its sheet.
    """
    meta = sample.metainfo
    names = meta.get('cam_names') or [str(i) for i in range(len(images))]
    pred, cloud = sample.pred_calib.to_dict(), points.cpu().numpy()
    for camera, (name, image) in enumerate(zip(names, images)):
        yield (
            name,
            calibration_sheet(
                np.ascontiguousarray(image.cpu().numpy()[::-1].transpose(1, 2, 0)),
                pred,
                camera,
                meta['lidar2cam'][camera],
                meta['cam2img'][camera],
                meta.get('perturbation'),
                cloud,
            ),
        )


def calibration_sheet(
    image_rgb: np.ndarray,
    pred: Mapping[str, Any],
    camera: int,
    lidar2cam: np.ndarray,
    cam2img: np.ndarray,
    perturbation: np.ndarray | None = None,
    points: np.ndarray | None = None,
    max_error: float = 10.0,
) -> np.ndarray:
    """Draw overlap, matches and poses of one camera on one sheet.

    Panels: the image; true and predicted overlap of the cells of the feature map; the voxels at
    their true places, by predicted overlap; where ``pred`` holds them (``keep_features`` of the
    head), the features of cells and voxels in the same colours (:func:`feature_colors`); the
    matches, with lines to the true projections; the
    LiDAR points projected with the pose before the perturbation, the predicted and the true one,
    with their errors (those of the metric: geodesic angle, length of the difference of the
    translations).

    Args:
        image_rgb: (H, W, 3) uint8, the network input image.
        pred: fields of ``pred_calib`` (V cameras), as tensors or arrays.
        camera: which of the V cameras.
        lidar2cam: (4, 4) true pose.
        cam2img: (3, 3) intrinsics of the image.
        perturbation: (4, 4) motion T of the points, p' = T p; without it the panel of the pose
            before is left out.
        points: (N, >= 3) LiDAR points to project, perturbed as the input was; by default
            the voxels of ``pred``.
        max_error: of the colours of the matches, in pixels of the network input image.

    Returns:
        The sheet, uint8 RGB. Small images are enlarged by a whole number.

    Raises:
        ValueError: if a shape does not fit.
    """
    height, width = image_rgb.shape[:2]
    scale = max(1, -(-_LEGIBLE_WIDTH // width))
    image = cv2.resize(image_rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    radius = 1 if scale == 1 else 2
    true = _float(lidar2cam)
    intrinsics = _float(cam2img)
    large = scale_intrinsics(intrinsics, scale, scale).numpy()
    voxels = _float(pred['points'])
    cloud = voxels if points is None else _float(points)[:, :3]

    pixel_scores = _float(pred['pixel_scores'][camera])
    point_scores = _float(pred['point_scores'][camera])
    uv, depth = project(transform_points(true, voxels), intrinsics)
    seen = in_image(uv, depth, height, width)
    h, w = pixel_scores.shape
    cells, cell_depth = project(
        transform_points(true, _float(pred['voxels'])),
        scale_intrinsics(intrinsics, w / width, h / height),
    )
    occupied = pixel_occupancy(cells, in_image(cells, cell_depth, h, w), h, w)
    order = torch.argsort(point_scores[seen], stable=True)

    panels = [
        ('image', image),
        (
            'voxels truly in the image, by overlap score (dark 0, yellow 1)\n'
            f'{int(seen.sum())} seen, '
            f'{int((point_scores > 0.5).sum())} predicted, '
            f'{int((seen & (point_scores > 0.5)).sum())} of them rightly',
            draw_points(
                image,
                _enlarged(uv[seen][order], scale),
                point_scores[seen][order].numpy(),
                radius,
                'viridis',
                vmin=0,
                vmax=1,
            ),
        ),
        ('cells that truly overlap', overlay_heatmap(image, occupied.numpy(), colormap='viridis')),
        (
            'cells, predicted overlap (dark 0, yellow 1)',
            overlay_heatmap(image, pixel_scores.numpy(), colormap='viridis'),
        ),
    ]
    if 'point_features' in pred:
        panels += _feature_panels(image, pred, camera, _enlarged(uv, scale), seen.numpy(), radius)
    panels.append(_match_panel(image, pred, camera, true, intrinsics, scale, max_error))
    if perturbation is not None:
        before = true @ _float(perturbation)
        panels.append(_pose_panel('before', image, cloud, before, true, large, radius))
    if bool(pred['valid'][camera]):
        predicted = _float(pred['lidar2cam'][camera])
        panels.append(_pose_panel('predicted', image, cloud, predicted, true, large, radius))
    else:
        panels.append(('LiDAR, predicted pose: none found', image))
    drawn = project_overlay(image, cloud.numpy(), true.numpy(), large, radius=radius)
    panels.append(('LiDAR, true pose (near red, far blue)', drawn))
    titles, images = zip(*panels)
    return tile(images, 2, titles)


def _feature_panels(
    image: np.ndarray,
    pred: Mapping[str, Any],
    camera: int,
    uv: np.ndarray,
    seen: np.ndarray,
    radius: int,
) -> list[tuple[str, np.ndarray]]:
    cells, voxels = feature_colors(
        _float(pred['pixel_features'][camera]).numpy(),
        _float(pred['point_features'][camera]).numpy()[seen],
    )
    colored = cv2.resize(cells, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return [
        ('features of the cells: three main components', colored),
        (
            'features of the voxels at their true places, same colours',
            draw_colors(image // 3, uv[seen], voxels, radius + 1),
        ),
    ]


def _match_panel(
    image: np.ndarray,
    pred: Mapping[str, Any],
    camera: int,
    true: torch.Tensor,
    intrinsics: torch.Tensor,
    scale: int,
    max_error: float,
) -> tuple[str, np.ndarray]:
    mask = torch.as_tensor(pred['match_mask'][camera]).bool()
    matched = _float(pred['match_pixels'][camera])[mask]
    uv, depth = project(
        transform_points(true, _float(pred['match_points'][camera])[mask]), intrinsics
    )
    uv[depth <= 0] = torch.nan
    errors = torch.linalg.vector_norm(uv - matched, dim=-1)
    close = int((errors <= 3).sum())
    title = (
        f'{len(errors)} matches, {close} within 3 px, '
        f'{int(pred["num_inliers"][camera])} inliers\n'
        f'line: to the true projection; green 0 px, red {max_error:g} px or more; '
        'cross: truly behind'
    )
    drawn = draw_matches(
        image, _enlarged(matched, scale), _enlarged(uv, scale), max_error * scale, radius=2
    )
    return title, drawn


def _pose_panel(
    name: str,
    image: np.ndarray,
    points: torch.Tensor,
    pose: torch.Tensor,
    true: torch.Tensor,
    cam2img: np.ndarray,
    radius: int,
) -> tuple[str, np.ndarray]:
    degrees = float(torch.rad2deg(rotation_angle(pose[:3, :3], true[:3, :3])))
    metres = float(torch.linalg.vector_norm(pose[:3, 3] - true[:3, 3]))
    title = f'LiDAR, pose {name}: off by {degrees:.2f} deg, {metres:.2f} m'
    return title, project_overlay(image, points.numpy(), pose.numpy(), cam2img, radius=radius)


def _enlarged(uv: torch.Tensor, scale: int) -> np.ndarray:
    """Pixels of the image enlarged by ``scale``; pixel centres are integers."""
    return ((uv + 0.5) * scale - 0.5).numpy()


def _float(value: Any) -> torch.Tensor:
    return torch.as_tensor(value).detach().to('cpu', torch.float64)
