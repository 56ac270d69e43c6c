"""Hooks, registered in mmdet3d's registry, and what a run needs on machines without a GPU."""

from .distributed import prepare_cpu_processes
from .hooks import CalibrationVisualizationHook, LoadedWeightsHook, PoseLossSwitchHook

__all__ = [
    'CalibrationVisualizationHook',
    'LoadedWeightsHook',
    'PoseLossSwitchHook',
    'prepare_cpu_processes',
]
