"""mmengine: a checkpoint from a URL may run code.

Fault: `load_from='https://...'`, and all names that mmengine turns into URLs, go through torch.hub,
which unpickles what it downloads without any limit, unlike `torch.load`. Here it loads tensors and
the classes on torch's list alone, as from a file.

Holds for: mmengine up to 0.10.7, torch up to 2.13.
"""

import functools

from mmengine.runner import checkpoint


def apply() -> None:
    """Have torch.hub load weights only, where mmengine asks it for a checkpoint."""
    if not isinstance(checkpoint.load_url, functools.partial):
        checkpoint.load_url = functools.partial(checkpoint.load_url, weights_only=True)
