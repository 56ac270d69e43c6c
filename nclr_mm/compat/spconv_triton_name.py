"""spconv-triton: mmdet3d does not find it.

Fault: its modules are those of spconv 2.3.8 but for their name, `spconv_triton`; mmdet3d imports
`spconv`, and asks for a version of at least 2.0.

Holds for: spconv-triton 1.0.0, and all versions that keep the name.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

#: spconv's, whose interface spconv-triton keeps.
VERSION = '2.3.8'


def apply() -> None:
    """Let `import spconv` find spconv-triton, only where it is installed and spconv is not."""
    if 'spconv' in sys.modules or find_spec('spconv') or not find_spec('spconv_triton'):
        return
    importlib.import_module('spconv_triton.pytorch')
    package = ModuleType('spconv')
    package.__version__ = VERSION
    package.__spec__ = ModuleSpec('spconv', None, is_package=True)
    package.__path__ = []  # what spconv-triton lacks is not found
    sys.modules['spconv'] = package
    # The same modules under both names: a second copy of a class would not be an instance's class.
    for name, module in list(sys.modules.items()):
        if name.startswith('spconv_triton.'):
            child = name.removeprefix('spconv_triton.')
            sys.modules[f'spconv.{child}'] = module
            if '.' not in child:
                setattr(package, child, module)
