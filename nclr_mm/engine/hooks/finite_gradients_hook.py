"""Keeps weights finite."""

from __future__ import annotations

import logging
import math

import torch
from mmdet3d.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from torch import Tensor
from torch.optim import Optimizer

from ..batches import names_of, samples_of


@HOOKS.register_module()
class FiniteGradientsHook(Hook):
    """Before each step of the optimiser: ends the run where a gradient is not finite.

    The weights stay those of the step before, and the message names the samples of the batch. So do
    buffers, as the statistics of batch norms, where the step is left out.
    Steps that a loss scaler skips, as it does in float16 while it looks for its scale, are its own
    affair, up to ``SCALER_PATIENCE`` in a row; buffers stay as they were in them, too. (A fused
    optimiser does not tell which were skipped, so that they are not counted.)

    Args:
        max_skipped: so many steps in a row are left out, each with a warning, before the run ends.

    Raises:
        FloatingPointError: in the step, or after the last that a scaler may skip.
    """

    #: From torch's first scale, 2**16, halved so often nothing is left in float16 (least 2**-24):
    #: what is not finite then was not too large.
    SCALER_PATIENCE = 50

    def __init__(self, max_skipped: int = 0) -> None:
        if max_skipped < 0:
            raise ValueError(f'max_skipped must be at least 0, got {max_skipped}.')
        self.max_skipped = max_skipped
        self._skipped = 0
        self._scaled = False
        self._skipped_by_scaler = 0
        self._stepped = False
        self._iter = 0
        self._batch: object = None
        #: buffers and what they held before the iterations of the step that is under way
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def before_train(self, runner) -> None:
        """Watch the optimiser."""
        runner.optim_wrapper.optimizer.register_step_pre_hook(self._check)
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        self._scaled = scaler is not None and scaler.is_enabled()

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Keep what a message would name, and what a step that is left out would spoil."""
        self._iter, self._batch, self._stepped = runner.iter, data_batch, False
        if (self.max_skipped or self._scaled) and not self._buffers:
            self._buffers = [(buffer, buffer.clone()) for buffer in runner.model.buffers()]

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Where a step was due and the loss scaler has skipped it, undo what is left of it."""
        if not self._scaled or self._stepped or not runner.optim_wrapper.should_update():
            return
        for buffer, before in self._take_buffers():
            buffer.copy_(before)
        self._skipped_by_scaler += 1
        if self._skipped_by_scaler == self.SCALER_PATIENCE:
            raise FloatingPointError(
                f'The loss scaler has left out {self.SCALER_PATIENCE} steps in a row: the loss or '
                f'its gradient is not finite whatever the scale. Samples of the batch of iteration '
                f'{self._iter + 1}: {self._names()}.'
            )

    def _check(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        self._stepped = True
        buffers = self._take_buffers()
        # A fused optimiser is called by the loss scaler also for steps that it is to leave out.
        if (found_inf := getattr(optimizer, 'found_inf', None)) is not None:
            for buffer, before in buffers:  # without waiting for the device
                buffer.copy_(torch.where(found_inf > 0, before, buffer))
            return
        self._skipped_by_scaler = 0
        weights = [p for group in optimizer.param_groups for p in group['params']]
        # Clips nothing: with this limit it is the public way to the norm of all.
        norm = float(torch.nn.utils.clip_grad_norm_(weights, math.inf))
        if math.isfinite(norm):
            self._skipped = 0
            return
        self._skipped += 1
        message = (
            f'The gradient of iteration {self._iter + 1} is not finite; samples of its batch: '
            f'{self._names()}.'
        )
        if self._skipped > self.max_skipped:
            raise FloatingPointError(f'{message} The weights are those of before it.')
        print_log(
            f'{message} It is left out, {self._skipped} of at most {self.max_skipped} in a row.',
            'current',
            logging.WARNING,
        )
        for weight in weights:
            weight.grad = None
        for buffer, before in buffers:
            buffer.copy_(before)

    def _take_buffers(self) -> list[tuple[Tensor, Tensor]]:
        buffers, self._buffers = self._buffers, []
        return buffers

    def _names(self) -> str:
        return names_of(samples_of(self._batch))
