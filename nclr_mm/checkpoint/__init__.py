"""Export and import of weights."""

from .convert import (
    CONVERSIONS,
    Conversion,
    convert,
    looks_like_checkpoint,
    read_checkpoint,
    read_weights,
)
from .layouts import from_openpcdet, to_openpcdet
from .publish import publish

__all__ = [
    'CONVERSIONS',
    'Conversion',
    'convert',
    'from_openpcdet',
    'looks_like_checkpoint',
    'publish',
    'read_checkpoint',
    'read_weights',
    'to_openpcdet',
]
