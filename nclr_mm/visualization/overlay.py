"""Drawing on images: points, matches, maps, titles. Knows arrays only, no models.

Images are uint8 RGB arrays (H, W, 3); every function returns a new image. Pixel centres are
integers, as everywhere in the package.
"""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from nclr_mm.geometry import MIN_DEPTH, project, transform_points
from nclr_mm.writing import write_whole

__all__ = [
    'colorize',
    'draw_colors',
    'draw_matches',
    'draw_points',
    'file_name',
    'overlay_heatmap',
    'project_overlay',
    'save_image',
    'tile',
]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TEXT_COLOR = (255, 255, 255)
_FAILED_COLOR = (255, 0, 255)
# Sub-pixel positions for OpenCV: fixed-point coordinates with so many fractional bits.
_SHIFT = 4


def colorize(
    values: np.ndarray,
    colormap: str = 'turbo',
    vmin: float | None = None,
    vmax: float | None = None,
) -> np.ndarray:
    """Give each value its colour.

    Args:
        values: array of any shape; NaN counts as ``vmin``.
        colormap: name of one of OpenCV's colour maps, such as 'turbo', 'viridis', 'magma'.
        vmin: value of the first colour; by default the least finite value.
        vmax: value of the last colour; by default the greatest finite value.

    Returns:
        uint8 RGB of shape ``(*values.shape, 3)``.

    Raises:
        ValueError: if OpenCV has no such colour map.
    """
    number = getattr(cv2, f'COLORMAP_{colormap.upper()}', None)
    if number is None:
        raise ValueError(
            f"colormap must be one of OpenCV's, such as 'turbo' or 'viridis', got {colormap!r}."
        )
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        return np.zeros((*values.shape, 3), dtype=np.uint8)
    finite = values[np.isfinite(values)]
    if vmin is None:
        vmin = finite.min() if finite.size else 0.0
    if vmax is None:
        vmax = finite.max() if finite.size else 1.0
    span = vmax - vmin if vmax > vmin else 1.0
    scaled = np.nan_to_num((values - vmin) / span, nan=0.0, posinf=1.0, neginf=0.0)
    index = np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    colors = cv2.applyColorMap(index.reshape(-1, 1), number)[:, 0, ::-1]
    return np.ascontiguousarray(colors).reshape(*values.shape, 3)


def draw_points(
    image_rgb: np.ndarray,
    uv: np.ndarray,
    values: np.ndarray,
    radius: int = 2,
    colormap: str = 'turbo',
    vmin: float | None = None,
    vmax: float | None = None,
) -> np.ndarray:
    """Draw points as filled circles coloured by value, in the given order.

    Args:
        image_rgb: (H, W, 3) uint8.
        uv: (N, 2) pixels; points that are not finite or off the image are left out.
        values: (N,).
        radius: of the circles, in pixels; 0 draws single pixels.
        colormap, vmin, vmax: see :func:`colorize`.

    Returns:
        A new image of the same size.

    Raises:
        ValueError: if a shape does not fit.
    """
    uv, values = _check_pairs(uv, values)
    return draw_colors(image_rgb, uv, colorize(values, colormap, vmin, vmax), radius)


def draw_colors(
    image_rgb: np.ndarray, uv: np.ndarray, colors: np.ndarray, radius: int = 2
) -> np.ndarray:
    """Draw points as filled circles of given colours, in the given order.

    Args:
        image_rgb: (H, W, 3) uint8.
        uv: (N, 2) pixels; points that are not finite or off the image are left out.
        colors: (N, 3) uint8 RGB.
        radius: of the circles, in pixels; 0 draws single pixels.

    Returns:
        A new image of the same size.
    """
    image = _copy_image(image_rgb)
    keep = _on_image(uv, image)
    for (u, v), color in zip(np.rint(uv[keep]).astype(int).tolist(), colors[keep].tolist()):
        cv2.circle(image, (u, v), radius, color, cv2.FILLED)
    return image


def project_overlay(
    image_rgb: np.ndarray,
    points: np.ndarray,
    lidar2cam: np.ndarray,
    cam2img: np.ndarray,
    values: np.ndarray | None = None,
    radius: int = 2,
    colormap: str = 'turbo',
    vmin: float | None = None,
    vmax: float | None = None,
) -> np.ndarray:
    """Draw LiDAR points where the pose projects them, the nearest on top.

    Args:
        image_rgb: (H, W, 3) uint8.
        points: (N, 3) LiDAR points in metres.
        lidar2cam: (4, 4).
        cam2img: (3, 3) intrinsics of this image.
        values: (N,) coloured; by default the depth, near points in the last colour, on a
            logarithmic scale from 3 m to 60 m.
        radius: see :func:`draw_points`.
        colormap, vmin, vmax: see :func:`colorize`; they hold for ``values``.

    Returns:
        A new image of the same size.
    """
    points = torch.as_tensor(np.asarray(points, dtype=np.float64))
    pose = torch.as_tensor(np.asarray(lidar2cam, dtype=np.float64))
    intrinsics = torch.as_tensor(np.asarray(cam2img, dtype=np.float64))
    uv, depth = (x.numpy() for x in project(transform_points(pose, points), intrinsics))
    if values is None:
        values = -np.log(np.maximum(depth, MIN_DEPTH))
        vmin, vmax = -math.log(60.0), -math.log(3.0)
    values = np.asarray(values, dtype=np.float64)
    if values.shape != depth.shape:
        raise ValueError(f'values must have the shape {depth.shape}, got {values.shape}.')
    order = np.argsort(-depth, kind='stable')
    order = order[depth[order] > MIN_DEPTH]
    return draw_points(image_rgb, uv[order], values[order], radius, colormap, vmin, vmax)


def draw_matches(
    image_rgb: np.ndarray,
    uv_pred: np.ndarray,
    uv_true: np.ndarray,
    max_error: float = 10.0,
    radius: int = 2,
) -> np.ndarray:
    """Draw each match at its pixel, and a line from there to where its point truly projects.

    Colours go from green (no error) over yellow to red (``max_error`` pixels or more). A match
    whose true projection is not finite (behind the camera) is a magenta cross. The worst matches
    are drawn first, so that they do not hide the good ones.

    Args:
        image_rgb: (H, W, 3) uint8.
        uv_pred: (N, 2) matched pixels.
        uv_true: (N, 2) true projections, NaN where there is none.
        max_error: in pixels.
        radius: of the dots, in pixels.

    Returns:
        A new image of the same size.

    Raises:
        ValueError: if a shape does not fit.
    """
    image = _copy_image(image_rgb)
    uv_pred, uv_true = np.asarray(uv_pred, float), np.asarray(uv_true, float)
    if uv_pred.shape != uv_true.shape or uv_pred.shape[1:] != (2,):
        raise ValueError(
            'uv_pred and uv_true must have the same shape (N, 2), '
            f'got {uv_pred.shape} and {uv_true.shape}.'
        )
    errors = np.linalg.norm(uv_pred - uv_true, axis=1)
    errors[~np.isfinite(errors)] = np.inf
    height, width = image.shape[:2]
    # OpenCV's fixed-point coordinates overflow far outside; a line that long leaves the image.
    reach = 4 * max(height, width)
    for i in np.argsort(-errors, kind='stable'):
        if not _on_image(uv_pred[i : i + 1], image)[0]:
            continue
        start = tuple(np.rint(uv_pred[i]).astype(int).tolist())
        if np.isinf(errors[i]):
            cv2.drawMarker(image, start, _FAILED_COLOR, cv2.MARKER_TILTED_CROSS, 4 * radius + 1)
            continue
        share = min(errors[i] / max_error, 1.0)
        color = (round(255 * min(1, 2 * share)), round(255 * min(1, 2 - 2 * share)), 0)
        line = uv_true[i] - uv_pred[i]
        end = uv_pred[i] + line * min(1.0, reach / max(errors[i], 1e-9))
        ends = [tuple(np.rint(p * 2**_SHIFT).astype(int).tolist()) for p in (uv_pred[i], end)]
        cv2.line(image, ends[0], ends[1], color, 1, cv2.LINE_AA, _SHIFT)
        cv2.circle(image, start, radius, color, cv2.FILLED)
    return image


def overlay_heatmap(
    image_rgb: np.ndarray,
    heatmap: np.ndarray,
    alpha: float = 0.5,
    colormap: str = 'turbo',
    vmin: float | None = 0.0,
    vmax: float | None = 1.0,
) -> np.ndarray:
    """Lay a coarse map over the image, cell by cell.

    Args:
        image_rgb: (H, W, 3) uint8.
        heatmap: (h, w) values of the cells of a feature map that covers the image.
        alpha: weight of the map, in [0, 1].
        colormap, vmin, vmax: see :func:`colorize`.

    Returns:
        A new image of the same size.

    Raises:
        ValueError: if a shape does not fit.
    """
    image = _copy_image(image_rgb)
    heatmap = np.asarray(heatmap, dtype=np.float64)
    if heatmap.ndim != 2 or heatmap.size == 0:
        raise ValueError(f'heatmap must have the shape (h, w), got {heatmap.shape}.')
    height, width = image.shape[:2]
    colors = cv2.resize(
        colorize(heatmap, colormap, vmin, vmax), (width, height), interpolation=cv2.INTER_NEAREST
    )
    return cv2.addWeighted(image, 1 - alpha, colors, alpha, 0)


def tile(
    images: Sequence[np.ndarray],
    columns: int,
    titles: Sequence[str] | None = None,
    pad: int = 6,
    font_scale: float = 0.5,
) -> np.ndarray:
    """Lay images out on a dark sheet, row by row, with a title over each.

    Args:
        images: uint8 RGB arrays, of any sizes; each column is as wide as its widest image.
        columns: images a row.
        titles: one a image; ``\\n`` begins a new line. A line too long for its column is drawn
            smaller.
        pad: gap between the images and round them, in pixels.
        font_scale: size of the titles, OpenCV's measure (0.5 gives letters 11 pixels high).

    Returns:
        The sheet, uint8 RGB.

    Raises:
        ValueError: without images, with less than one column, or with another number of titles.
    """
    images = [_copy_image(image) for image in images]
    if not images:
        raise ValueError('images must hold at least one image.')
    if columns < 1:
        raise ValueError(f'columns must be at least 1, got {columns}.')
    if titles is not None and len(titles) != len(images):
        raise ValueError(f'titles must hold {len(images)} texts, got {len(titles)}.')
    columns = min(columns, len(images))
    lines = [title.split('\n') for title in titles] if titles is not None else [[]] * len(images)
    line_height = round(32 * font_scale) + 4

    rows = [range(i, min(i + columns, len(images))) for i in range(0, len(images), columns)]
    widths = [
        max(images[i].shape[1] for i in range(c, len(images), columns)) for c in range(columns)
    ]
    headers = [line_height * max(len(lines[i]) for i in row) for row in rows]
    heights = [max(images[i].shape[0] for i in row) for row in rows]
    sheet = np.full(
        (
            sum(headers) + sum(heights) + pad * (len(rows) + 1),
            sum(widths) + pad * (columns + 1),
            3,
        ),
        24,
        dtype=np.uint8,
    )
    top = pad
    for row, header, height in zip(rows, headers, heights):
        left = pad
        for i, width in zip(row, widths):
            for number, line in enumerate(lines[i]):
                baseline = top + (number + 1) * line_height - 6
                _put_text(sheet, line, left, baseline, width, font_scale)
            h, w = images[i].shape[:2]
            sheet[top + header : top + header + h, left : left + w] = images[i]
            left += width + pad
        top += header + height + pad
    return sheet


def file_name(*parts: object) -> str:
    """Parts joined by underscores to the name of a file: names of samples may hold slashes."""
    return re.sub(r'[^\w.-]+', '_', '_'.join(str(part) for part in parts if part is not None))


def save_image(path: str | os.PathLike, image_rgb: np.ndarray) -> Path:
    """Write a picture at once: a reader sees the old one or the whole new one.

    Args:
        path: its ending gives the format (jpg, png).
        image_rgb: (H, W, 3) uint8.

    Returns:
        The path.

    Raises:
        OSError: if it cannot be written.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, 92]
    done, code = cv2.imencode(Path(path).suffix, image_rgb[:, :, ::-1], options)
    if not done:
        raise OSError(f'{path}: OpenCV cannot encode this picture.')
    return write_whole(path, code.tobytes())


def _put_text(
    image: np.ndarray, text: str, left: int, baseline: int, width: int, font_scale: float
) -> None:
    # OpenCV's fonts hold ASCII only and show anything else as question marks.
    text = text.replace('°', ' deg').encode('ascii', 'replace').decode()
    (length, _), _ = cv2.getTextSize(text, _FONT, font_scale, 1)
    scale = font_scale * min(1.0, (width - 2) / max(length, 1))
    cv2.putText(image, text, (left + 1, baseline), _FONT, scale, _TEXT_COLOR, 1, cv2.LINE_AA)


def _copy_image(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'an image must be uint8 RGB of shape (H, W, 3), got {image.dtype} {image.shape}.'
        )
    return np.array(image, order='C')


def _check_pairs(uv: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    uv, values = np.asarray(uv, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if uv.ndim != 2 or uv.shape[1] != 2:
        raise ValueError(f'uv must have the shape (N, 2), got {uv.shape}.')
    if values.shape != (len(uv),):
        raise ValueError(f'values must have the shape ({len(uv)},), got {values.shape}.')
    return uv, values


def _on_image(uv: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(N,) bool; comparisons with NaN are False."""
    height, width = image.shape[:2]
    return ((uv >= -0.5) & (uv < np.array([width, height]) - 0.5)).all(axis=1)
