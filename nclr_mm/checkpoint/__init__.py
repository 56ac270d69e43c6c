"""Export and import of weights."""

from .convert import CONVERSIONS, Conversion, convert, looks_like_checkpoint, read_checkpoint
from .layouts import from_openpcdet, to_openpcdet

__all__ = [
    'CONVERSIONS',
    'Conversion',
    'convert',
    'from_openpcdet',
    'looks_like_checkpoint',
    'read_checkpoint',
    'to_openpcdet',
]
