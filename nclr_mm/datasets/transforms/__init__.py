from .cameras import SampleCameras
from .images import (
    CropImages,
    PhotoMetricJitter,
    RandomCropResizeImages,
    RandomFlipImages,
    ResizeImages,
)
from .loading import LoadCalibratedImages, LoadLidarPoints
from .perturbation import RigidPerturbation
from .points import ScalePointIntensity

__all__ = [
    'CropImages',
    'LoadCalibratedImages',
    'LoadLidarPoints',
    'PhotoMetricJitter',
    'RandomCropResizeImages',
    'RandomFlipImages',
    'ResizeImages',
    'RigidPerturbation',
    'SampleCameras',
    'ScalePointIntensity',
]
