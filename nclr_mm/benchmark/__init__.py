"""How fast, how large: clocks, a plain reference, and measurements of single parts."""

from .head import HeadLoad, measure_head
from .pnp import measure_pnp
from .reference import Reference, reference_seconds
from .step import measure_steps
from .timing import Clock, growth_exponent, median_seconds, peak_tensor_bytes

__all__ = [
    'Clock',
    'HeadLoad',
    'Reference',
    'growth_exponent',
    'measure_head',
    'measure_pnp',
    'measure_steps',
    'median_seconds',
    'peak_tensor_bytes',
    'reference_seconds',
]
