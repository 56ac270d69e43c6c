"""Makes a run the same whether or not it was interrupted."""

from __future__ import annotations

from collections.abc import Iterator

from mmdet3d.registry import HOOKS
from mmengine.dist import broadcast, get_rank
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop

from nclr_mm.seeding import seed_generators

#: apart from the numbers of rounds and samples, which seed the loading
_TRAINING = 2**31


class _GoneOn:
    """Batches of an iterator, after a number of empty ones for those trained with before."""

    def __init__(self, batches: Iterator, skip: int) -> None:
        self._batches, self._skip = batches, skip

    def __iter__(self) -> _GoneOn:
        return self

    def __next__(self):
        if self._skip:
            self._skip -= 1
            return None
        return next(self._batches)


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """A run that is cut off and resumed equals one that is not, to the bit on CPUs.

    mmengine keeps weights, optimiser and schedules. This hook seeds what a step draws by the number
    of the step, on each process, so that no state of a generator needs to be kept; and lets the
    samplers of :mod:`nclr_mm.datasets.samplers` go on where the checkpoint was written, in runs
    that count iterations, where mmengine loads all earlier batches again to be rid of them.

    Checkpoints hold the statistics of batch norms that the first process of several has. Before a
    validation all take these, so that what is validated is what is saved.
    """

    priority = 'LOW'  # after DistSamplerSeedHook, which sets the sampler's round

    def before_train_epoch(self, runner) -> None:
        """Skip the batches that were trained with before the checkpoint.

        A run without a seed in its config takes the checkpoint's, for its samplers too.
        """
        loop = runner.train_loop
        sampler = loop.dataloader.sampler
        by_iteration = isinstance(loop, IterBasedTrainLoop)
        if not loop.iter or (by_iteration and not hasattr(sampler, 'go_on_after')):
            return
        sampler.seed = runner.seed
        if not by_iteration:  # the order begins anew with each epoch
            return
        rounds = sampler.go_on_after(loop.dataloader, loop.iter)
        batches = type(loop.dataloader_iterator)(loop.dataloader)
        batches._epoch = rounds
        loop.dataloader_iterator = _GoneOn(batches, loop.iter)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed what this step draws."""
        seed_generators(runner.seed, get_rank(), _TRAINING + runner.iter)

    def before_val_epoch(self, runner) -> None:
        """Give all processes the buffers of the first."""
        for buffer in runner.model.buffers():
            broadcast(buffer)
