"""Pictures: overlays, matches, calibration sheets, curves. Draws arrays; knows no models."""

from .calibration import calibration_sheet, sample_sheets
from .curves import newest_test, plot_curves, read_run, read_scalars, smooth
from .features import feature_colors
from .overlay import (
    colorize,
    draw_colors,
    draw_matches,
    draw_points,
    file_name,
    overlay_heatmap,
    project_overlay,
    save_image,
    tile,
)

__all__ = [
    'calibration_sheet',
    'colorize',
    'draw_colors',
    'draw_matches',
    'draw_points',
    'feature_colors',
    'file_name',
    'newest_test',
    'overlay_heatmap',
    'plot_curves',
    'project_overlay',
    'read_run',
    'read_scalars',
    'sample_sheets',
    'save_image',
    'smooth',
    'tile',
]
