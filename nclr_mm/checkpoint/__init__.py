"""Export and import of weights."""

from .convert import CONVERSIONS, Conversion, convert, read_checkpoint
from .layouts import from_openpcdet, to_openpcdet

__all__ = [
    'CONVERSIONS',
    'Conversion',
    'convert',
    'from_openpcdet',
    'read_checkpoint',
    'to_openpcdet',
]
