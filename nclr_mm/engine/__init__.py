"""Hooks, registered in mmdet3d's registry, and what a run needs on machines without a GPU."""

from .distributed import prepare_cpu_processes
from .hooks import (
    CalibrationVisualizationHook,
    ClassFitHook,
    LoadedWeightsHook,
    PoseLossSwitchHook,
)

__all__ = [
    'CalibrationVisualizationHook',
    'ClassFitHook',
    'LoadedWeightsHook',
    'PoseLossSwitchHook',
    'prepare_cpu_processes',
]
