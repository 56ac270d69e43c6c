"""mmengine: a run whose optimiser is sharded hangs at its first checkpoint.

Fault: `ZeroRedundancyOptimizer.state_dict` collects the parts of all processes, so all of them must
call it; but checkpoints are saved by the first process alone, which then waits without end. Here
all processes collect the parts before the first one saves.

Holds for: mmengine up to 0.10.7.
"""

import functools

from mmengine.dist import is_main_process
from mmengine.optim import ZeroRedundancyOptimizer
from mmengine.runner import Runner


def _state_dict(self: ZeroRedundancyOptimizer) -> dict:
    """The state as it was collected last; empty on all processes but the first."""
    return super(ZeroRedundancyOptimizer, self).state_dict() if is_main_process() else {}


def apply() -> None:
    """Collect the parts of the state before saving."""
    save = Runner.save_checkpoint
    if hasattr(save, 'collects_parts'):
        return

    @functools.wraps(save)
    def save_checkpoint(self: Runner, *args, save_optimizer: bool = True, **kwargs) -> None:
        optimizer = getattr(getattr(self, 'optim_wrapper', None), 'optimizer', None)
        if save_optimizer and isinstance(optimizer, ZeroRedundancyOptimizer):
            optimizer.consolidate_state_dict()
        save(self, *args, save_optimizer=save_optimizer, **kwargs)

    save_checkpoint.collects_parts = True
    Runner.save_checkpoint = save_checkpoint
    ZeroRedundancyOptimizer.state_dict = _state_dict
