from .calibration_visualization_hook import CalibrationVisualizationHook
from .class_fit_hook import ClassFitHook
from .exact_resume_hook import ExactResumeHook
from .finite_gradients_hook import FiniteGradientsHook
from .loaded_weights_hook import LoadedWeightsHook
from .pose_loss_switch_hook import PoseLossSwitchHook

__all__ = [
    'CalibrationVisualizationHook',
    'ClassFitHook',
    'ExactResumeHook',
    'FiniteGradientsHook',
    'LoadedWeightsHook',
    'PoseLossSwitchHook',
]
