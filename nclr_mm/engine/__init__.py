"""Hooks, registered in mmdet3d's registry."""

from .hooks import CalibrationVisualizationHook, PoseLossSwitchHook

__all__ = ['CalibrationVisualizationHook', 'PoseLossSwitchHook']
