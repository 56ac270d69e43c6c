from .cameras import SampleCameras
from .images import (
    CropImages,
    PhotoMetricJitter,
    RandomCropResizeImages,
    RandomFlipImages,
    ResizeImages,
)
from .labels import LoadPointLabels
from .loading import LoadCalibratedImages, LoadLidarPoints
from .object_sampling import CheckedDataBaseSampler
from .packing import PackCalibrationInputs, PackLidarInputs
from .perturbation import RigidPerturbation
from .points import ScalePointIntensity

__all__ = [
    'CheckedDataBaseSampler',
    'CropImages',
    'LoadCalibratedImages',
    'LoadLidarPoints',
    'LoadPointLabels',
    'PackCalibrationInputs',
    'PackLidarInputs',
    'PhotoMetricJitter',
    'RandomCropResizeImages',
    'RandomFlipImages',
    'ResizeImages',
    'RigidPerturbation',
    'SampleCameras',
    'ScalePointIntensity',
]
