"""Loader processes of runners that tests train in their own process."""

from mmengine.runner import Runner


def train(runner: Runner) -> None:
    """Train, and stop the processes that load; those of epochs are stopped by mmengine itself.

    torch waits five seconds for each of them where the runner is collected as garbage, for then the
    queues that would tell them to stop are closed before the loader is.
    """
    runner.train()
    batches = getattr(runner.train_loop, 'dataloader_iterator', None)
    batches = getattr(batches, '_batches', batches)  # of ExactResumeHook
    iterator = getattr(batches, '_iterator', batches)  # of mmengine
    if hasattr(iterator, '_shutdown_workers'):
        iterator._shutdown_workers()
