"""Adds the pose loss late in training."""

from __future__ import annotations

import logging

from mmdet3d.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop

from ..distributed import unwrapped_model


@HOOKS.register_module()
class PoseLossSwitchHook(Hook):
    """Switch the head's pose loss on at a set epoch or iteration.

    Early in training the matches are so wrong that the pose loss only adds noise; the official
    settings add it from epoch 45 of 50. The hook looks at the runner's counter alone, so that a
    resumed training is right from its first step.

    Args:
        begin: number of epochs (or iterations) that are trained without the pose loss; 0 has it
            on throughout.
        by_epoch: whether ``begin`` counts epochs or iterations.

    Raises:
        ValueError: if ``begin`` is negative.
    """

    priority = 'NORMAL'

    def __init__(self, begin: int, by_epoch: bool = True) -> None:
        if begin < 0:
            raise ValueError(f'PoseLossSwitchHook: begin must not be negative, got {begin}.')
        self.begin = begin
        self.by_epoch = by_epoch
        self._logged = False

    def before_run(self, runner) -> None:
        """Check that the model has the switch.

        Raises:
            ValueError: if ``model.calib_head.with_pose_loss`` is no bool.
        """
        head = self._head(runner)
        if not isinstance(getattr(head, 'with_pose_loss', None), bool):
            model = type(unwrapped_model(runner)).__name__
            raise ValueError(
                'PoseLossSwitchHook needs a model whose calib_head has the bool attribute '
                f'with_pose_loss, as that of NCLR; {model} has none.'
            )

    def before_train(self, runner) -> None:
        """Check that ``begin`` counts what the training loop counts.

        Raises:
            ValueError: if epochs are counted in a loop that has iterations only.
        """
        if self.by_epoch and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                'PoseLossSwitchHook: by_epoch=True needs a training loop that counts epochs; '
                'with an iteration-based loop give begin in iterations and by_epoch=False.'
            )
        length = runner.max_epochs if self.by_epoch else runner.max_iters
        if self.begin >= length:
            print_log(
                f'The pose loss begins at {self._unit} {self.begin}, and training ends at '
                f'{length}: it is never on.',
                logger='current',
                level=logging.WARNING,
            )

    def before_train_epoch(self, runner) -> None:
        """Set the switch at the beginning of each epoch."""
        if self.by_epoch:
            self._switch(runner, runner.epoch)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Set the switch at each iteration."""
        if not self.by_epoch:
            self._switch(runner, runner.iter)

    @property
    def _unit(self) -> str:
        return 'epoch' if self.by_epoch else 'iteration'

    @staticmethod
    def _head(runner):
        return getattr(unwrapped_model(runner), 'calib_head', None)

    def _switch(self, runner, done: int) -> None:
        active = done >= self.begin
        self._head(runner).with_pose_loss = active
        if active and not self._logged:
            self._logged = True
            print_log(f'Pose loss on, after {self._unit} {done}.', logger='current')
