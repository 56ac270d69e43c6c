"""Loader processes of runners that tests train in their own process."""

from mmengine.runner import Runner


def train(runner: Runner) -> None:
    """Train by iterations, and stop the processes that load.

    torch waits five seconds for each of them where the runner is collected as garbage, for then the
    queues that would tell them to stop are closed before the loader is.
    """
    runner.train()
    batches = runner.train_loop.dataloader_iterator
    batches = getattr(batches, '_batches', batches)  # of ExactResumeHook
    iterator = getattr(batches, '_iterator', batches)  # of mmengine
    if hasattr(iterator, '_shutdown_workers'):
        iterator._shutdown_workers()
