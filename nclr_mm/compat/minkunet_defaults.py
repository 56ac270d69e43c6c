"""mmdet3d: a MinkUNet with default channels can be built only once in a process.

Fault: the constructor inserts into its argument lists `encoder_channels` and `decoder_channels`.
Where they are the default arguments, the next network gets five stages and an assertion fails. The
lists of a config are safe, for mmengine hands out copies of them. `SPVCNNBackbone` has the same
defaults, and reads its lists *after* its base class has inserted into them: therefore only defaults
are renewed here, and lists that are passed in stay as they are.

Holds for: mmdet3d 1.1 to 1.4.
"""

import functools
import inspect
from collections.abc import Callable

from mmdet3d.models.backbones import MinkUNetBackbone, SPVCNNBackbone


def _with_fresh_defaults(init: Callable) -> Callable:
    signature = inspect.signature(init)
    defaults = {
        name: tuple(parameter.default)
        for name, parameter in signature.parameters.items()
        if isinstance(parameter.default, list)
    }

    @functools.wraps(init)
    def init_with_fresh_defaults(self, *args, **kwargs) -> None:
        given = signature.bind(self, *args, **kwargs).arguments
        fresh = {name: list(value) for name, value in defaults.items() if name not in given}
        init(self, *args, **kwargs, **fresh)

    return init_with_fresh_defaults


def apply() -> None:
    """Give each network lists of its own, where the constructors have lists as defaults."""
    for backbone in (MinkUNetBackbone, SPVCNNBackbone):
        init = backbone.__init__
        if not hasattr(init, '__wrapped__'):
            backbone.__init__ = _with_fresh_defaults(init)
