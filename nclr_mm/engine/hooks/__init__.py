from .calibration_visualization_hook import CalibrationVisualizationHook
from .pose_loss_switch_hook import PoseLossSwitchHook

__all__ = ['CalibrationVisualizationHook', 'PoseLossSwitchHook']
