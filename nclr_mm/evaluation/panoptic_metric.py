"""Panoptic quality, with mmdet3d's metric on labels as mmdet3d's datasets have them."""

from mmdet3d.evaluation import panoptic_seg_eval
from mmdet3d.registry import METRICS
from mmengine.logging import MMLogger

from .lidarseg_metric import LidarSegMetric


@METRICS.register_module()
class PanopticMetric(LidarSegMetric):
    """PQ, SQ, RQ and mIoU, of all classes, of things and of stuff.

    mmdet3d's ``PanopticSegMetric`` computes them, but it takes the ignored class for one of the
    list, where its datasets put it behind the last: then the first ignored point ends the
    evaluation with an index error. Here the list gets a class for it, which is not evaluated.
    Which classes are things is known by the dataset. Means go over all classes: one that occurs
    neither in the truth nor in the predictions counts as 0, as in the benchmarks.

    Args:
        min_num_points: smaller objects do not count as missed or as wrong (50; 15 on nuScenes).
        id_offset: above every number of a predicted object.
        kwargs: arguments of :class:`LidarSegMetric`.
    """

    def __init__(self, min_num_points: int = 50, id_offset: int = 2**16, **kwargs) -> None:
        super().__init__(**kwargs)
        self.min_num_points = min_num_points
        self.id_offset = id_offset

    def evaluate_all(self, results: list) -> dict[str, float]:
        """Evaluate pairs of annotation and prediction, each with both masks."""
        meta = self.dataset_meta
        classes = list(meta['classes'])
        return panoptic_seg_eval(
            [annotation for annotation, _ in results],
            [prediction for _, prediction in results],
            [*classes, 'ignored'],
            [classes[i] for i in meta['thing_labels']],
            [classes[i] for i in meta['stuff_labels']],
            self.min_num_points,
            self.id_offset,
            meta['label2cat'],
            [meta['ignore_index']],
            MMLogger.get_current_instance(),
        )
