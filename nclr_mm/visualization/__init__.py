"""Pictures: overlays, matches, calibration sheets, curves. Draws arrays; knows no models."""

from .overlay import (
    colorize,
    draw_matches,
    draw_points,
    overlay_heatmap,
    project_overlay,
    tile,
)

__all__ = [
    'colorize',
    'draw_matches',
    'draw_points',
    'overlay_heatmap',
    'project_overlay',
    'tile',
]
