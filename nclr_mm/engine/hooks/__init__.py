from .calibration_visualization_hook import CalibrationVisualizationHook
from .class_fit_hook import ClassFitHook
from .exact_resume_hook import ExactResumeHook
from .finite_gradients_hook import FiniteGradientsHook
from .left_out_counts_hook import LeftOutCountsHook
from .loaded_weights_hook import LoadedWeightsHook
from .pose_loss_switch_hook import PoseLossSwitchHook

__all__ = [
    'CalibrationVisualizationHook',
    'ClassFitHook',
    'ExactResumeHook',
    'FiniteGradientsHook',
    'LeftOutCountsHook',
    'LoadedWeightsHook',
    'PoseLossSwitchHook',
]
