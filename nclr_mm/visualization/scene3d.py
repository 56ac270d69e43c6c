"""Scenes to turn in a browser: one HTML file that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from .report import write_text

__all__ = ['Lines', 'Points', 'box_lines', 'camera_lines', 'color_key', 'write_scene']

# Corners of mmdet3d's boxes (BaseInstance3DBoxes.corners) that an edge joins.
_EDGES = (
    (0, 1),
    (1, 2),
    (2, 3),
    (3, 0),
    (4, 5),
    (5, 6),
    (6, 7),
    (7, 4),
    (0, 4),
    (1, 5),
    (2, 6),
    (3, 7),
)


# Where a scene is seen from when it opens, metres in the LiDAR's frame.
_EYE = (-28.0, 0.0, 16.0)


@dataclass
class Points:
    """Points of a scene.

    Attributes:
        name: in the legend, where a click hides them.
        xyz: (N, 3) in metres.
        colors: (N, 3) uint8 RGB, or (3,) for all.
        size: of the dots in pixels.
        shown: whether the scene opens with it; else a click in the legend shows it.
    """

    name: str
    xyz: np.ndarray
    colors: np.ndarray
    size: float = 1.5
    shown: bool = True


@dataclass
class Lines:
    """Line segments of a scene.

    Attributes:
        name: in the legend, where a click hides them.
        segments: (N, 2, 3) ends in metres.
        color: (3,) uint8 RGB.
        width: in pixels.
    """

    name: str
    segments: np.ndarray
    color: Sequence[int]
    width: float = 3.0


def box_lines(name: str, corners: np.ndarray, color: Sequence[int]) -> Lines:
    """Edges of boxes, and a cross on the front face.

    Args:
        name: in the legend.
        corners: (N, 8, 3) of mmdet3d's ``LiDARInstance3DBoxes.corners``.
        color: (3,) RGB.
    """
    corners = np.asarray(corners, dtype=np.float64).reshape(-1, 8, 3)
    # Corners 4 to 7 are those with the greater x, where the box heads.
    pairs = [*_EDGES, (4, 6), (5, 7)]
    segments = np.stack([corners[:, list(pair)] for pair in pairs], axis=1)
    return Lines(name, segments.reshape(-1, 2, 3), color)


def camera_lines(
    name: str,
    lidar2cam: np.ndarray,
    cam2img: np.ndarray,
    image_size: tuple[int, int],
    color: Sequence[int],
    depth: float = 2.0,
) -> Lines:
    """The pyramid that a camera sees, in the LiDAR's frame.

    Args:
        name: in the legend.
        lidar2cam: (4, 4).
        cam2img: (3, 3).
        image_size: (height, width).
        color: (3,) RGB.
        depth: of the pyramid, in metres.
    """
    height, width = image_size
    edge = np.array([[0, 0, 1], [width - 1, 0, 1], [width - 1, height - 1, 1], [0, height - 1, 1]])
    rays = depth * np.linalg.solve(cam2img, edge.T).T
    cam2lidar = np.linalg.inv(lidar2cam)
    corners = rays @ cam2lidar[:3, :3].T + cam2lidar[:3, 3]
    apex = np.broadcast_to(cam2lidar[:3, 3], corners.shape)
    sides = np.stack([apex, corners], axis=1)
    frame = np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)
    return Lines(name, np.concatenate([sides, frame]), color)


def color_key(name: str, color: Sequence[int]) -> Points:
    """An entry of the legend alone, that tells what a colour (3,) means."""
    return Points(name, np.full((1, 3), np.nan), np.asarray(color))


def require_plotly() -> ModuleType:
    """plotly's graph_objects, or ImportError saying how to install it."""
    try:
        from plotly import graph_objects
    except ImportError as error:
        raise ImportError(
            'Interactive scenes need plotly; install it with: pip install plotly'
        ) from error
    return graph_objects


def write_scene(
    path: str | os.PathLike,
    layers: Sequence[Points | Lines],
    title: str = '',
    max_points: int = 60000,
) -> Path:
    """Write a scene as one HTML file, in which it can be turned, moved and zoomed.

    Args:
        path: the file; it holds the drawing library too (about 5 MB), so that no network is needed.
        layers: what to draw.
        title: of the page.
        max_points: of each layer; of more, so many are drawn at random.

    Returns:
        The path.

    Raises:
        ImportError: without plotly.
    """
    graph_objects = require_plotly()
    figure = graph_objects.Figure()
    for layer in layers:
        if isinstance(layer, Points):
            figure.add_trace(_points_trace(graph_objects, layer, max_points))
        else:
            figure.add_trace(_lines_trace(graph_objects, layer))
    axis = dict(backgroundcolor='rgb(24,24,24)', gridcolor='rgb(60,60,60)', color='white')
    ranges, camera = _view(layers)
    figure.update_layout(
        title=title,
        paper_bgcolor='rgb(24,24,24)',
        font_color='white',
        margin=dict(l=0, r=0, t=40, b=0),
        legend=dict(itemsizing='constant'),
        scene=dict(
            aspectmode='data',
            **{
                f'{name}axis': dict(axis, title=f'{name} (m)', range=limits)
                for name, limits in zip('xyz', ranges)
            },
            camera=camera,
        ),
    )
    page = figure.to_html(include_plotlyjs=True, full_html=True)
    # Without the white border that browsers put round a page.
    style = '<style>body { margin: 0; overflow: hidden; background: rgb(24,24,24) }</style>'
    write_text(path, page.replace('<head>', f'<head>{style}', 1))
    return Path(path)


def _view(layers: Sequence[Points | Lines]) -> tuple[list[list[float]], dict]:
    """Limits of the axes, and plotly's camera: behind and above the LiDAR, looking along x.

    Plotly places its camera relative to the middle of the axes, in units of the cube root of their
    lengths' product.
    """
    parts = [layer.xyz if isinstance(layer, Points) else layer.segments for layer in layers]
    xyz = np.concatenate([np.zeros((1, 3)), *(np.asarray(part).reshape(-1, 3) for part in parts)])
    low, high = xyz.min(axis=0) - 0.5, xyz.max(axis=0) + 0.5
    middle, unit = (low + high) / 2, np.cbrt(np.prod(high - low))

    def place(metres: Sequence[float]) -> dict[str, float]:
        return dict(zip('xyz', ((np.array(metres) - middle) / unit).tolist()))

    camera = dict(eye=place(_EYE), center=place([0, 0, 0]), up=dict(x=0, y=0, z=1))
    return np.stack([low, high], axis=1).tolist(), camera


def _points_trace(graph_objects, layer: Points, max_points: int):
    xyz = np.asarray(layer.xyz, dtype=np.float64).reshape(-1, 3)
    colors = np.broadcast_to(np.asarray(layer.colors, dtype=np.uint8), xyz.shape)
    if len(xyz) > max_points:
        keep = np.sort(np.random.default_rng(0).choice(len(xyz), max_points, replace=False))
        xyz, colors = xyz[keep], colors[keep]
    marker = dict(size=layer.size, color=[_hex(color) for color in colors.tolist()])
    visible = True if layer.shown else 'legendonly'
    return _trace(
        graph_objects, layer.name, xyz.round(2), mode='markers', marker=marker, visible=visible
    )


def _lines_trace(graph_objects, layer: Lines):
    segments = np.asarray(layer.segments, dtype=np.float64).reshape(-1, 2, 3)
    # A gap after each segment.
    broken = np.concatenate([segments, np.full((len(segments), 1, 3), np.nan)], axis=1)
    line = dict(color=_hex(layer.color), width=layer.width)
    xyz = broken.reshape(-1, 3).round(3)
    return _trace(graph_objects, layer.name, xyz, mode='lines', connectgaps=False, line=line)


def _trace(graph_objects, name: str, xyz: np.ndarray, **style):
    x, y, z = xyz.T
    return graph_objects.Scatter3d(x=x, y=y, z=z, name=name, hoverinfo='skip', **style)


def _hex(color: Sequence[int]) -> str:
    return '#{:02x}{:02x}{:02x}'.format(*color)
