"""mIoU through mmdet3d's SegMetric, or predictions as the benchmarks want them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmdet3d.evaluation.metrics import SegMetric
from mmdet3d.registry import METRICS
from mmengine.logging import print_log

from .submissions import SubmissionWriter


@METRICS.register_module()
class LidarSegMetric(SegMetric):
    """mmdet3d's SegMetric, which can write submissions instead of evaluating.

    Args:
        submission: arguments of :class:`nclr_mm.evaluation.submissions.SubmissionWriter`
            (``folder``, ``form``, ``split``); predictions then are written, sample by sample, and
            nothing is evaluated. None evaluates.
        kwargs: arguments of ``mmdet3d.evaluation.SegMetric``.
    """

    def __init__(self, submission: dict | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.writer = None if submission is None else SubmissionWriter(**submission)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep prediction and annotation of each sample, or write the prediction."""
        if self.writer is None:
            if any('eval_ann_info' not in sample for sample in data_samples):
                raise ValueError(
                    'The samples have no labels to evaluate against; give '
                    'test_evaluator.submission.folder and .form to write predictions instead.'
                )
            super().process(data_batch, data_samples)
            return
        for sample in data_samples:
            prediction = sample['pred_pts_seg']
            instances = prediction.get('pts_instance_mask')
            self.writer.write(
                sample,
                _numpy(prediction['pts_semantic_mask']),
                None if instances is None else _numpy(instances),
                self.dataset_meta['canonical_raw'],
            )
            self.results.append(1)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Metrics of all samples; of a submission the number of files."""
        if self.writer is None:
            return self.evaluate_all(results)
        self.writer.finish()
        print_log(f'{len(results)} predictions are in {self.writer.folder}.', logger='current')
        return dict(num_predictions=len(results))

    def evaluate_all(self, results: list) -> dict[str, float]:
        """mIoU, IoU of each class and accuracies, as SegMetric computes them."""
        return super().compute_metrics(results)


def _numpy(values) -> np.ndarray:
    return values.cpu().numpy() if hasattr(values, 'cpu') else np.asarray(values)
