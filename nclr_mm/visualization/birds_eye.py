"""Scans and boxes from above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from .overlay import draw_colors

__all__ = ['birds_eye', 'class_colors', 'class_key', 'instance_colors']

_BACKGROUND = 24
_SHIFT = 4  # fractional bits of OpenCV's coordinates


def birds_eye(
    points: np.ndarray,
    colors: np.ndarray,
    reach: float = 50.0,
    size: int = 900,
    boxes: Mapping[Sequence[int], np.ndarray] | None = None,
) -> np.ndarray:
    """Draw a scan from above, x up and y to the left, the highest points on top.

    Args:
        points: (N, >= 3) in metres, LiDAR frame.
        colors: (N, 3) uint8 RGB, or (3,) for all.
        reach: points farther away along x or y are left out, in metres.
        size: of the longer side of the picture, in pixels; it shows all points within reach.
        boxes: RGB colour -> corners (M, 8, 3) of mmdet3d's boxes; drawn with a line to the front.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: if reach or size is not positive.
    """
    if reach <= 0 or size < 1:
        raise ValueError(f'reach and size must be positive, got {reach} and {size}.')
    points = np.asarray(points, dtype=np.float64)
    colors = np.broadcast_to(np.asarray(colors, dtype=np.uint8), (len(points), 3))
    near = (np.abs(points[:, :2]) <= reach).all(axis=1)
    points, colors = points[near], colors[near]
    low, high = (-np.ones(2) * reach, np.ones(2) * reach)
    if len(points):
        low, high = points[:, :2].min(axis=0) - 1, points[:, :2].max(axis=0) + 1
    scale = size / (high - low).max()
    height, width = np.maximum(np.ceil((high - low) * scale), 1).astype(int)

    def pixels(xy: np.ndarray) -> np.ndarray:
        return np.stack([high[1] - xy[:, 1], high[0] - xy[:, 0]], axis=1) * scale - 0.5

    order = np.argsort(points[:, 2], kind='stable')
    image = np.full((height, width, 3), _BACKGROUND, np.uint8)
    # Dots about as large as a decimetre.
    image = draw_colors(image, pixels(points[order]), colors[order], radius=int(scale > 12))
    for color, corners in (boxes or {}).items():
        for box in np.asarray(corners, dtype=np.float64).reshape(-1, 8, 3):
            # Corners 0, 3, 7, 4 are the bottom; 7 and 4 are its front.
            ring = pixels(box[[0, 3, 7, 4]])
            middle = pixels(np.stack([box[[0, 7]].mean(0), box[[4, 7]].mean(0)]))
            for line, closed in ((ring, True), (middle, False)):
                fixed = np.rint(line * 2**_SHIFT).astype(np.int32)
                cv2.polylines(image, [fixed], closed, tuple(color), 1, cv2.LINE_AA, _SHIFT)
    return image


def class_colors(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Colours (N, 3) of classes (N,); grey where a label has none."""
    table = np.vstack([np.asarray(palette, dtype=np.uint8), [[90, 90, 90]]])
    labels = np.asarray(labels)
    return table[np.where((labels >= 0) & (labels < len(palette)), labels, len(palette))]


def class_key(names: Sequence[str], colors: Sequence[Sequence[int]], width: int) -> np.ndarray:
    """A strip that tells the colours of classes, (H, width, 3) uint8 RGB, as many rows as it takes.

    Args:
        names: of the classes.
        colors: RGB of each.
        width: of the strip in pixels.
    """
    size, gap, font, scale = 14, 8, cv2.FONT_HERSHEY_SIMPLEX, 0.5
    places, x, row = [], gap, 0
    for name in names:
        needed = size + gap + cv2.getTextSize(name, font, scale, 1)[0][0] + 2 * gap
        if x > gap and x + needed > width:
            x, row = gap, row + 1
        places.append((x, row * (size + gap) + gap))
        x += needed
    strip = np.full(((row + 1) * (size + gap) + gap, width, 3), _BACKGROUND, np.uint8)
    for name, color, (x, y) in zip(names, colors, places):
        strip[y : y + size, x : x + size] = color
        cv2.putText(
            strip, name, (x + size + gap, y + size - 2), font, scale, (230,) * 3, 1, cv2.LINE_AA
        )
    return strip


def instance_colors(instances: np.ndarray) -> np.ndarray:
    """Colours (N, 3) of objects (N,), bright and different; dark grey for 0, which is none."""
    instances = np.asarray(instances).astype(np.int64)
    # Hues a golden ratio apart differ however many there are.
    hue = np.round(180 * ((instances * 0.618034) % 1)).astype(np.uint8) % 180
    hsv = np.stack([hue, np.full_like(hue, 200), np.full_like(hue, 255)], axis=-1)
    colors = cv2.cvtColor(hsv.reshape(1, -1, 3), cv2.COLOR_HSV2RGB)[0] if len(hsv) else hsv
    return np.where(instances[:, None] == 0, 60, colors).astype(np.uint8)
