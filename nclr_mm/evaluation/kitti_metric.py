"""KITTI average precision, also of frames without objects and of few frames."""

from collections.abc import Sequence

import numpy as np
from mmdet3d.evaluation.metrics import KittiMetric
from mmdet3d.registry import METRICS


@METRICS.register_module()
class KittiDetectionMetric(KittiMetric):
    """mmdet3d's KittiMetric, which fails on a frame without any labelled object.

    Its evaluation looks at the first object of each frame. Such a frame gets a region of no area
    that nobody cares for, which counts neither for nor against a detector.

    Args:
        indices: the ``indices`` of the dataset that is tested, if it has them: the frames of the
            info file that it takes.
        repeats: how often each frame counts. The precision is taken at 41 recalls and 41 objects
            reach them all; fewer, though all are found, cannot reach 100.
        kwargs: arguments of ``mmdet3d.evaluation.KittiMetric``.
    """

    def __init__(
        self, *args, indices: int | Sequence[int] | None = None, repeats: int = 1, **kwargs
    ) -> None:
        if repeats < 1:
            raise ValueError(f'repeats must be at least 1, got {repeats}.')
        super().__init__(*args, **kwargs)
        self.indices = indices
        self.repeats = repeats

    def kitti_evaluate(self, results_dict: dict, gt_annos: list[dict], **kwargs) -> dict:
        """Average precisions in percent, by name."""
        results = {name: frames * self.repeats for name, frames in results_dict.items()}
        return super().kitti_evaluate(results, gt_annos * self.repeats, **kwargs)

    def convert_annos_to_kitti_annos(self, data_infos: dict) -> list[dict]:
        """Annotations of each frame in KITTI's form, as ``kitti_annos``."""
        frames = super().convert_annos_to_kitti_annos(data_infos)
        if isinstance(self.indices, int):  # as in mmengine's BaseDataset
            frames = frames[: self.indices] if self.indices >= 0 else frames[self.indices :]
        elif self.indices is not None:
            frames = [frames[i] for i in self.indices]
        for frame in frames:
            if 'kitti_annos' in frame and not len(frame['kitti_annos']['name']):
                frame['kitti_annos'] = dict(
                    name=np.array(['DontCare']),
                    truncated=np.array([-1.0]),
                    occluded=np.array([-1]),
                    alpha=np.array([-10.0]),
                    bbox=np.zeros((1, 4)),
                    dimensions=np.full((1, 3), -1.0),
                    location=np.full((1, 3), -1000.0),
                    rotation_y=np.array([-10.0]),
                    score=np.array([0.0]),
                )
        return frames
