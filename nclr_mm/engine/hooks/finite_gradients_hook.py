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
    affair.

    Args:
        max_skipped: so many steps in a row are left out, each with a warning, before the run ends.

    Raises:
        FloatingPointError: in the step.
    """

    def __init__(self, max_skipped: int = 0) -> None:
        if max_skipped < 0:
            raise ValueError(f'max_skipped must be at least 0, got {max_skipped}.')
        self.max_skipped = max_skipped
        self._skipped = 0
        self._iter = 0
        self._batch: object = None
        #: buffers and what they held before the iterations of the step that is under way
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def before_train(self, runner) -> None:
        """Watch the optimiser."""
        runner.optim_wrapper.optimizer.register_step_pre_hook(self._check)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Keep what a message would name, and what a step that is left out would spoil."""
        self._iter, self._batch = runner.iter, data_batch
        if self.max_skipped and not self._buffers:
            self._buffers = [(buffer, buffer.clone()) for buffer in runner.model.buffers()]

    def _check(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        buffers, self._buffers = self._buffers, []
        # A fused optimiser is called by the loss scaler also for steps that it is to leave out.
        if getattr(optimizer, 'found_inf', None) is not None:
            return
        weights = [p for group in optimizer.param_groups for p in group['params']]
        # Clips nothing: with this limit it is the public way to the norm of all.
        norm = float(torch.nn.utils.clip_grad_norm_(weights, math.inf))
        if math.isfinite(norm):
            self._skipped = 0
            return
        self._skipped += 1
        message = (
            f'The gradient of iteration {self._iter + 1} is not finite; samples of its batch: '
            f'{names_of(samples_of(self._batch))}.'
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
