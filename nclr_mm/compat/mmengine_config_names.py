"""mmengine: configs can inherit from `package::config` of OpenMMLab's packages alone.

Fault: `_get_package_and_cfg_path` asserts that the package is in a fixed list. So
`_base_ = ['nclr_mm::nclr/...']` ended in `mmengine does not support to load nclr_mm config`.

The configs lie in `nclr_mm/.mim/configs`, as those of mmdet3d do in its package. No scope is
attached to what they hold, for this project registers its components in mmdet3d's registries.

Holds for: mmengine up to 0.10.7.
"""

import functools
from pathlib import Path

from mmengine.config import Config

PACKAGE = 'nclr_mm'
CONFIGS = Path(__file__).parents[1] / '.mim/configs'


def apply() -> None:
    """Let configs inherit from `nclr_mm::<config>`."""
    original = Config._get_cfg_path
    if hasattr(original, '__wrapped__'):
        return

    @functools.wraps(original)
    def _get_cfg_path(cfg_path: str, filename: str):
        package, separator, name = cfg_path.partition('::')
        if not separator or package != PACKAGE:
            return original(cfg_path, filename)
        path = CONFIGS / name
        if not path.is_file():
            raise FileNotFoundError(f'{filename} inherits from {cfg_path}: {path} does not exist.')
        return str(path), None

    Config._get_cfg_path = staticmethod(_get_cfg_path)
