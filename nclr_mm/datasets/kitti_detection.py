"""KITTI object detection with part of its labels."""

from __future__ import annotations

from mmdet3d.datasets import KittiDataset
from mmdet3d.registry import DATASETS

from .broken import SkipsBroken
from .detection_infos import ChecksInfos
from .kitti import KITTI_COMMAND
from .samplers import SeededDraws
from .subsets import FRAMES, choose_and_report


@DATASETS.register_module()
class KittiDetectionDataset(SeededDraws, SkipsBroken, ChecksInfos, KittiDataset):
    """mmdet3d's KittiDataset, with every k-th of the labelled frames.

    ``ObjectSample`` in its pipeline then samples objects of these frames alone. What is checked,
    and what becomes of a frame without points, says :class:`.detection_infos.ChecksInfos`.

    Args:
        fraction: part of the frames to use, 1/k.
        offset: shifts the choice, for repeats; counts modulo k.
        kwargs: ``max_broken``, see :class:`nclr_mm.datasets.broken.SkipsBroken`; ``outside_root``,
            whether paths of the info file may lead out of the data root; and arguments of
            :class:`mmdet3d.datasets.KittiDataset`.

    Raises:
        ValueError: if nothing is chosen, if no chosen frame has an object to train on, or if a part
            is asked for in a test, whose metric counts frames in the whole info file.
    """

    CREATE_COMMAND = KITTI_COMMAND

    def __init__(self, *args, fraction: float = 1.0, offset: int = 0, **kwargs) -> None:
        if fraction != 1 and kwargs.get('test_mode'):
            raise ValueError(f'A test takes all frames, got fraction={fraction} in test mode.')
        self.fraction = fraction
        self.offset = offset
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the info file, choose the frames and name them in the log."""
        entries = super().load_data_list()
        if self.fraction < 1:
            entries = self._choose(entries)
        if not self.test_mode and self.filter_empty_gt and not any(map(_has_object, entries)):
            classes = ', '.join(self.metainfo['classes'])
            raise ValueError(
                f'None of the {len(entries)} frames of {self.ann_file} (fraction='
                f'{self.fraction:g}, offset={self.offset}) has an object to train on; classes: '
                f'{classes}.'
            )
        return entries

    def _choose(self, entries: list[dict]) -> list[dict]:
        names = [str(entry['sample_idx']) for entry in entries]
        chosen = choose_and_report(self.ann_file, names, names, self.fraction, FRAMES, self.offset)
        chosen_entries = [entries[i] for i in chosen]
        self._restrict_objects({entry['sample_idx'] for entry in chosen_entries})
        return chosen_entries

    def _restrict_objects(self, frames: set[int]) -> None:
        """Objects of other frames would be labels that the fraction leaves out."""
        for transform in self.pipeline.transforms:
            sampler = getattr(transform, 'db_sampler', None)
            if sampler is None:
                continue
            if not hasattr(sampler, 'keep_frames'):
                raise ValueError(
                    f'{type(sampler).__name__} samples objects of all frames, also of those that '
                    f'fraction={self.fraction:g} leaves out: use CheckedDataBaseSampler.'
                )
            sampler.keep_frames(frames)


def _has_object(entry: dict) -> bool:
    """Whether a frame has an object of the classes of the data set."""
    return bool((entry['ann_info']['gt_labels_3d'] >= 0).any())
