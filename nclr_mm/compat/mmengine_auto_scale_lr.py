"""mmengine: automatic scaling leaves the learning rates that schedules state absolutely.

Fault: `Runner.scale_lr` multiplies the optimiser's rate by the ratio of the batch sizes, and not
`eta_min` of `CosineAnnealingLR` nor `eta_max` of `OneCycleLR`. mmdet3d's cyclic schedules rise to
an `eta_min` of ten times the rate: on one GPU instead of eight, training still peaked at the rate
for eight.

Holds for: mmengine up to 0.10.7.
"""

import copy
import functools

from mmengine.runner import Runner

_ABSOLUTE = ('eta_min', 'eta_max')


def scaled_schedulers(schedulers, ratio: float):
    """Config of parameter schedulers with the absolute learning rates multiplied by `ratio`."""
    if isinstance(schedulers, (list, tuple)):
        return [scaled_schedulers(scheduler, ratio) for scheduler in schedulers]
    if not isinstance(schedulers, dict):
        return schedulers
    if 'type' not in schedulers:  # one for each optimiser
        return {name: scaled_schedulers(value, ratio) for name, value in schedulers.items()}
    scaled = copy.deepcopy(schedulers)
    kind = scaled['type']
    if str(kind if isinstance(kind, str) else kind.__name__).endswith('LR'):
        scaled.update({key: scaled[key] * ratio for key in _ABSOLUTE if key in scaled})
    return scaled


def apply() -> None:
    """Let `Runner.scale_lr` scale the schedules, too."""
    original = Runner.scale_lr
    if hasattr(original, '__wrapped__'):
        return

    @functools.wraps(original)
    def scale_lr(self, optim_wrapper, auto_scale_lr=None):
        original(self, optim_wrapper, auto_scale_lr)
        if auto_scale_lr is None or not auto_scale_lr.get('enable', False):
            return
        loader = self._train_dataloader
        batch_size = loader['batch_size'] if isinstance(loader, dict) else loader.batch_size
        ratio = self.world_size * batch_size / auto_scale_lr['base_batch_size']
        self.param_schedulers = scaled_schedulers(self.param_schedulers, ratio)

    Runner.scale_lr = scale_lr
