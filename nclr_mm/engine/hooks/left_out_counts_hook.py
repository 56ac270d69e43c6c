"""Counts in the log what training could not use of its data."""

from __future__ import annotations

import logging

import torch
from mmdet3d.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.logging import print_log

from ..batches import metainfo_of, names_of, samples_of

EMPTY, UNLABELLED = 'num_empty_samples', 'num_unlabelled_samples'
SCALARS = ('num_broken_samples', 'num_unmeasured_points', EMPTY, UNLABELLED)


@HOOKS.register_module()
class LeftOutCountsHook(Hook):
    """Scalars of what training could not use of its data, and a warning of the first such sample.

    - ``num_broken_samples``: could not be loaded; another was drawn for each
      (:class:`nclr_mm.datasets.broken.SkipsBroken`, which warns of each).
    - ``num_unmeasured_points``: points without a measurement, which were left out
      (:class:`nclr_mm.datasets.transforms.LoadLidarPoints`; ``Pack3DDetInputs`` needs the name
      among its ``meta_keys``).
    - ``num_empty_samples``: have no point left, and no part in losses of points; or another was
      drawn for each (:class:`nclr_mm.datasets.KittiDetectionDataset`).
    - ``num_unlabelled_samples``: samples of segmentation without a labelled point, which have no
      part in any loss; empty ones are among them.

    Each is the total since the run began, over all processes; a resumed run goes on counting.
    mmengine logs of such scalars the last value alone, so that what one step left out would mostly
    not be seen. A scalar is there from the first step on that adds to it.

    The numbers come from the batch as it was loaded, on the host, so that no GPU is waited for;
    several processes sum four numbers a step.
    """

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Add what the batch tells to the totals."""
        samples = samples_of(data_batch)
        useless = {
            EMPTY: _empty(samples, data_batch),
            UNLABELLED: _unlabelled(samples, runner.train_dataloader.dataset),
        }
        # What was left out while loading travels in the metainfo of the samples.
        found = torch.tensor(
            [
                sum(metainfo_of(sample).get(name, 0) for sample in samples)
                + len(useless.get(name, ()))
                for name in SCALARS
            ]
        )
        all_reduce(found)
        for name, number in zip(SCALARS, found.tolist(), strict=True):
            if number:
                self._add(runner.message_hub, name, number, useless.get(name))

    @staticmethod
    def _add(hub, name: str, number: int, samples: list | None) -> None:
        key = f'train/{name}'
        total = hub.log_scalars.get(key)
        if total is None and samples is not None:
            what = 'labelled point' if name == UNLABELLED else 'point in the range of the pipeline'
            where = names_of(samples) if samples else 'replaced, or of another process'
            print_log(
                f'Samples without a {what} are of no use to training ({where}). This is said '
                f'once; {name} in the log counts them.',
                'current',
                logging.WARNING,
            )
        hub.update_scalar(key, number + (total.current() if total is not None else 0))


def _empty(samples: list, batch: object) -> list:
    """The samples without a point."""
    inputs = batch.get('inputs') if isinstance(batch, dict) else None
    clouds = inputs.get('points') if isinstance(inputs, dict) else None
    return [sample for sample, points in zip(samples, clouds or ()) if not len(points)]


def _unlabelled(samples: list, dataset: object) -> list:
    """The samples whose points all have the label to be ignored."""
    ignored = metainfo_of(dataset).get('ignore_index')
    truths = [(sample, getattr(sample, 'gt_pts_seg', {})) for sample in samples]
    return [
        sample
        for sample, truth in truths
        # NumPy compares them in a tenth of torch's time.
        if 'pts_semantic_mask' in truth and not (truth.pts_semantic_mask.numpy() != ignored).any()
    ]
