"""nuScenes object detection."""

from __future__ import annotations

from mmdet3d.datasets import NuScenesDataset
from mmdet3d.registry import DATASETS

from .broken import SkipsBroken
from .detection_infos import ChecksInfos
from .samplers import SeededDraws


@DATASETS.register_module()
class NuScenesDetectionDataset(SeededDraws, SkipsBroken, ChecksInfos, NuScenesDataset):
    """mmdet3d's NuScenesDataset, whose info file may come from elsewhere.

    What is checked, and what becomes of a frame without points, says
    :class:`.detection_infos.ChecksInfos`.

    Args:
        kwargs: ``max_broken``, see :class:`nclr_mm.datasets.broken.SkipsBroken`; ``outside_root``,
            whether paths of the info file may lead out of the data root; and arguments of
            :class:`mmdet3d.datasets.NuScenesDataset`.
    """

    CREATE_COMMAND = '`python tools/create_data.py nuscenes`'
