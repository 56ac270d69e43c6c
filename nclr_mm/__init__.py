"""NCLR: LiDAR backbones pretrained by neural calibration, as an extension of mmdet3d.

Importing the package checks the environment, applies the workarounds of `nclr_mm.compat`, and
registers every component in mmdet3d's registries. `custom_imports = dict(imports=['nclr_mm'])` in
a config is all that is needed to use them.
"""

from .environment import check_devices, check_environment
from .version import __version__

check_environment()
check_devices()

from . import compat  # noqa: E402 (only after the check: it imports the packages checked)

compat.apply()

from . import datasets, engine, evaluation, models  # noqa: E402 (after the workarounds)

__all__ = ['__version__', 'compat', 'datasets', 'engine', 'evaluation', 'models']
