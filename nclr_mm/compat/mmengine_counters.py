"""mmengine: a test, or a validation by itself, needs the data of the training.

Fault: `Runner.iter`, `epoch`, `max_iters` and `max_epochs` ask the training loop, and so build it
with its data where there is none yet. Hooks that draw, save the best checkpoint or profile ask
them while testing and validating, too. Here the settings of the loop answer until it is built.

Holds for: mmengine up to 0.10.7.
"""

import inspect
from collections.abc import Callable

from mmengine.runner import Runner
from mmengine.runner._flexible_runner import FlexibleRunner


def _from_settings(name: str, original: Callable[[Runner], int]) -> property:
    """A counter of the runner that builds no loop for a number that is known without it."""

    def counter(self: Runner) -> int:
        settings = self._train_loop
        if isinstance(settings, dict):
            if name in ('iter', 'epoch'):
                return 0
            if name in settings:
                return settings[name]
        return original(self)

    return property(counter, doc=original.__doc__)


def apply() -> None:
    """Replace the counters that build the loop; those of another version are left."""
    for runner in (Runner, FlexibleRunner):
        for name in ('iter', 'epoch', 'max_iters', 'max_epochs'):
            original = getattr(runner, name).fget
            if 'self.train_loop' in inspect.getsource(original):
                setattr(runner, name, _from_settings(name, original))
