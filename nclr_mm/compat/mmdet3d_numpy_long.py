"""mmdet3d: sampling from the ground-truth database needs an alias that numpy has dropped.

Fault: `DataBaseSampler.sample_all` uses `np.long`, which numpy 1.24 to 1.26 do not have (2.0 has it
again): `ObjectSample` raises `AttributeError` as soon as it samples an object.

Holds for: mmdet3d 1.1 to 1.4 with numpy 1.24 to 1.26.
"""

import numpy as np


def apply() -> None:
    """Give numpy the alias back, only where it is missing."""
    # Asking for the attribute would warn.
    if 'long' not in vars(np):
        np.long = np.int64
