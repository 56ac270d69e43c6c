"""How fast, how large: clocks, a plain reference, and measurements of single parts."""

from .head import HeadLoad, measure_head
from .pnp import measure_pnp
from .reference import Reference, reference_seconds
from .scaling import process_rates
from .step import build_dataset, build_training, measure_steps
from .timing import Clock, growth_exponent, median_seconds, peak_bytes, peak_tensor_bytes
from .variants import (
    VARIANTS,
    host_trips,
    loading_rate,
    measure_throughput,
    top_kernels,
    with_options,
)

__all__ = [
    'VARIANTS',
    'Clock',
    'HeadLoad',
    'Reference',
    'build_dataset',
    'build_training',
    'growth_exponent',
    'host_trips',
    'loading_rate',
    'measure_head',
    'measure_pnp',
    'measure_steps',
    'measure_throughput',
    'median_seconds',
    'peak_bytes',
    'peak_tensor_bytes',
    'process_rates',
    'reference_seconds',
    'top_kernels',
    'with_options',
]
