"""nuScenes object detection."""

from __future__ import annotations

from mmdet3d.datasets import NuScenesDataset
from mmdet3d.registry import DATASETS

from .broken import SkipsBroken
from .detection_infos import ChecksInfos
from .infos import require_info_file
from .samplers import SeededDraws


@DATASETS.register_module()
class NuScenesDetectionDataset(SeededDraws, SkipsBroken, ChecksInfos, NuScenesDataset):
    """mmdet3d's NuScenesDataset, whose info file may come from elsewhere.

    Args:
        kwargs: ``max_broken``, see :class:`nclr_mm.datasets.broken.SkipsBroken`; ``outside_root``,
            whether paths of the info file may lead out of the data root; and arguments of
            :class:`mmdet3d.datasets.NuScenesDataset`.

    Raises:
        FileNotFoundError: without the info file, saying which command makes it.
        ValueError: if a path leads out of the data root, or a box has no volume.
    """

    def load_data_list(self) -> list[dict]:
        """Read the info file."""
        require_info_file(self.ann_file, '`python tools/create_data.py nuscenes`')
        return super().load_data_list()
