"""Samples that cannot be loaded."""

from __future__ import annotations

import logging
from collections import Counter

from mmengine.logging import print_log

__all__ = ['SkipsBroken']


class SkipsBroken:
    """Mix-in of datasets: in training, a number of samples that cannot be loaded is passed over.

    For each another one is drawn; each is logged with what is wrong with it. One that is met again
    counts again. The sample that is drawn instead has their number in its metainfo, as
    ``num_broken_samples``, for :class:`nclr_mm.engine.hooks.LeftOutCountsHook`.

    Args:
        max_broken: how many each process that loads passes over before it stops. 0: none; the
            first ends the run.
        args, kwargs: of the dataset.
    """

    def __init__(self, *args, max_broken: int = 0, **kwargs) -> None:
        if max_broken < 0:
            raise ValueError(f'max_broken must be at least 0, got {max_broken}.')
        self.max_broken = max_broken
        self._broken = 0
        #: what was left out for the sample that is being drawn, by the name of its scalar
        self._left_out: Counter[str] = Counter()
        super().__init__(*args, **kwargs)

    def __getitem__(self, idx: int) -> dict:
        """The sample, or another in its place, which says so in its metainfo."""
        self._left_out.clear()
        sample = super().__getitem__(idx)
        # Pipelines that do not pack, as for pictures, have nowhere to say it.
        if self._left_out and 'data_samples' in sample:
            sample['data_samples'].set_metainfo(dict(self._left_out))
        return sample

    def prepare_data(self, idx: int) -> dict | None:
        """The sample, or None, upon which mmengine draws another."""
        try:
            return super().prepare_data(idx)
        except (OSError, ValueError) as error:
            if self.test_mode or not self.max_broken:
                raise
            self._broken += 1
            self._left_out['num_broken_samples'] += 1
            if self._broken > self.max_broken:
                raise ValueError(
                    f'More than max_broken={self.max_broken} samples cannot be loaded; the last: '
                    f'{error}'
                ) from error
            print_log(
                f'Sample {int(idx)} is left out, {self._broken} of at most {self.max_broken} in '
                f'this process: {error}',
                'current',
                logging.WARNING,
            )
            return None
