"""Scans with a label for each point."""

from __future__ import annotations

import os.path as osp
from collections.abc import Callable, Sequence

from mmdet3d.datasets import Seg3DDataset
from mmdet3d.registry import DATASETS

from ..broken import SkipsBroken
from ..infos import check_sample, join_inside, read_infos
from ..samplers import SeededDraws
from ..subsets import SCENES, check_choice, choose_and_report
from . import label_maps
from .label_maps import LabelMap


class SegmentationDataset(SeededDraws, SkipsBroken, Seg3DDataset):
    """Scans and label files listed in an info file of ``tools/create_data.py``.

    Classes, colours and the map from raw labels are those of the data set (``LABELS``). Points of
    no class have the label ``len(classes)``, which is the ``ignore_index`` of mmdet3d's heads and
    metrics.

    Args:
        ann_file: the info file, relative to ``data_root`` unless absolute.
        data_root: root of the data.
        data_prefix: folders, relative to ``data_root``, of the scans (``pts``) and of the label
            files (``pts_semantic_mask``, ``pts_panoptic_mask``). None takes those of the layout.
        fraction: part of the labelled frames to use, in (0, 1].
        protocol: how they are chosen, see :mod:`nclr_mm.datasets.subsets`; None takes
            that of the class.
        offset: shifts the choice, for repeats.
        repeats: how many times an epoch goes through the chosen frames.
        panoptic: whether the frames must have panoptic labels.
        outside_root: whether paths of the info file may lead out of ``data_root``.
        max_broken: how many samples that cannot be loaded are passed over in training, see
            :class:`nclr_mm.datasets.broken.SkipsBroken`.
        pipeline, test_mode and others: as in mmdet3d's Seg3DDataset.

    Raises:
        FileNotFoundError: without the info file, saying which command makes it, or without the
            first label file.
        ValueError: if the info file has another form, if nothing is chosen, if other classes are
            asked for, or, unless in test mode, if a frame has no label file.
    """

    LABELS: LabelMap
    DATA_PREFIX: dict[str, str] = {}
    PROTOCOL = SCENES
    CREATE_COMMAND = ''
    LABEL_TABLES = ''

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: dict[str, str] | None = None,
        fraction: float = 1.0,
        protocol: str | None = None,
        offset: int = 0,
        repeats: int = 1,
        panoptic: bool = False,
        outside_root: bool = False,
        pipeline: Sequence[dict | Callable] = (),
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        if repeats < 1:
            raise ValueError(f'repeats must be at least 1, got {repeats}.')
        self._refuse_other_classes(dict(metainfo or {}), kwargs.get('ignore_index'))
        self.fraction = fraction
        self.protocol = protocol or self.PROTOCOL
        self.offset = offset
        check_choice(self.fraction, self.protocol, self.offset)
        self.repeats = repeats
        self.panoptic = panoptic
        self.outside_root = outside_root
        prefix = dict(self.DATA_PREFIX, **(data_prefix or {}))
        for key in ('pts', 'img', 'pts_semantic_mask', 'pts_panoptic_mask'):
            prefix.setdefault(key, '')
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=prefix,
            pipeline=list(pipeline),
            metainfo=dict(
                dict(classes=self.LABELS.names, palette=self.METAINFO['palette'])
                | (metainfo or {}),
                thing_labels=self.LABELS.thing_labels,
                stuff_labels=self.LABELS.stuff_labels,
                canonical_raw=self.LABELS.canonical_raw.tolist(),
            ),
            **kwargs,
        )

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        number = tuple(range(len(cls.LABELS.names)))
        cls.METAINFO = dict(
            classes=cls.LABELS.names,
            palette=[list(colour) for colour in cls.LABELS.palette],
            seg_valid_class_ids=number,
            seg_all_class_ids=number,
        )

    def _refuse_other_classes(self, metainfo: dict, ignore_index: int | None) -> None:
        """The map from raw labels is the class's own; other classes would be mislabelled."""
        classes = tuple(metainfo.get('classes', self.LABELS.names))
        if classes != self.LABELS.names:
            raise ValueError(
                f'{type(self).__name__} has the classes {list(self.LABELS.names)}, got '
                f'{list(classes)}; for others derive a class with a LabelMap of its own.'
            )
        if ignore_index not in (None, self.LABELS.ignore_index):
            raise ValueError(
                f'{type(self).__name__} ignores the label {self.LABELS.ignore_index}, got '
                f'ignore_index={ignore_index}.'
            )

    def get_seg_label_mapping(self, metainfo: dict | None = None):
        """Label of each raw label, -1 where the data set defines none."""
        return self.LABELS.table

    def load_data_list(self) -> list[dict]:
        """Read the info file, choose the frames and name them in the log."""
        entries = read_infos(self.ann_file, self.CREATE_COMMAND)['data_list']
        for entry in entries:
            where = check_sample(entry, self.ann_file)
            scan = entry.get('lidar_points')
            if not isinstance(scan, dict) or 'lidar_path' not in scan:
                raise ValueError(
                    f"{where} must have the dict 'lidar_points' with a path in lidar_path."
                )
        if self.fraction != 1:
            entries = self._choose(entries)
        self._check_labelled(entries)
        return [self.parse_data_info(entry) for _ in range(self.repeats) for entry in entries]

    def _choose(self, entries: list[dict]) -> list[dict]:
        lacking = [e for e in entries if 'scene' not in e]
        if lacking:
            raise ValueError(
                f'{self.ann_file}: the sample {lacking[0].get("sample_idx")} lacks the field '
                "'scene' that a label fraction needs; make the file anew with "
                f'{self.CREATE_COMMAND}.'
            )
        scenes = [e['scene'] for e in entries]
        samples = [e['sample_idx'] for e in entries]
        chosen = choose_and_report(
            self.ann_file, scenes, samples, self.fraction, self.protocol, self.offset
        )
        return [entries[i] for i in chosen]

    def _check_labelled(self, entries: list[dict]) -> None:
        key = 'pts_panoptic_mask_path' if self.panoptic else 'pts_semantic_mask_path'
        lacking = [e for e in entries if key not in e]
        if not entries or (self.test_mode and not self.load_eval_anns):
            return
        if lacking:
            kind = 'panoptic' if self.panoptic else 'semantic'
            raise ValueError(
                f'{self.ann_file}: {len(lacking)} of {len(entries)} frames have no {kind} labels '
                f'(first: {lacking[0].get("sample_idx")}); put the label files{self.LABEL_TABLES} '
                f'in place and make the info file anew with {self.CREATE_COMMAND}, or, to predict '
                'without them, give test_dataloader.dataset.load_eval_anns=False.'
            )
        prefix = self.data_prefix[key.removesuffix('_path')]
        first = self._join(key.removesuffix('_path'), entries[0][key])
        if '://' not in first and not osp.exists(first):
            raise FileNotFoundError(
                f'{first}, the first label file of {self.ann_file}, is missing: data_prefix gives '
                f'the folder of the label files (now {prefix}), which may name a version.'
            )

    def _join(self, prefix: str, path: str) -> str:
        return join_inside(self.data_prefix[prefix], path, self.outside_root, self.ann_file)

    def parse_data_info(self, info: dict) -> dict:
        """Keep what segmentation needs of an entry, with full paths; read by mmdet3d's loaders."""
        scan = dict(info['lidar_points'])
        scan['lidar_path'] = self._join('pts', scan['lidar_path'])
        sample = dict(
            sample_name=str(info['sample_idx']),
            lidar_points=scan,
            lidar_path=scan['lidar_path'],
            seg_label_mapping=self.seg_label_mapping,
            test_mode=self.test_mode,
        )
        for key in ('token', 'scene', 'timestamp'):
            if key in info:
                sample[key] = info[key]
        if 'sample_data_token' in scan:
            sample['lidar_token'] = scan['sample_data_token']
        for key in ('pts_semantic_mask', 'pts_panoptic_mask'):
            if f'{key}_path' in info:
                sample[f'{key}_path'] = self._join(key, info[f'{key}_path'])
        if self.test_mode and self.load_eval_anns:
            sample['eval_ann_info'] = {}
        return sample


@DATASETS.register_module()
class NuScenesSegmentationDataset(SegmentationDataset):
    """nuScenes-lidarseg and panoptic nuScenes, 16 classes.

    The folders of the label files carry the version in their names: give
    ``data_prefix=dict(pts_semantic_mask='lidarseg/v1.0-mini')`` for another one.
    """

    LABELS = label_maps.NUSCENES
    DATA_PREFIX = dict(
        pts='samples/LIDAR_TOP',
        pts_semantic_mask='lidarseg/v1.0-trainval',
        pts_panoptic_mask='panoptic/v1.0-trainval',
    )
    CREATE_COMMAND = '`python tools/create_data.py nuscenes --root-path <root>`'
    LABEL_TABLES = ' and the tables lidarseg.json and panoptic.json'


@DATASETS.register_module()
class SemanticKittiSegmentationDataset(SegmentationDataset):
    """SemanticKITTI, 19 classes, moving objects merged into them."""

    LABELS = label_maps.SEMANTICKITTI
    PROTOCOL = 'frames-of-sequences'
    CREATE_COMMAND = '`python tools/create_data.py semantickitti --root-path <root>`'


@DATASETS.register_module()
class SemanticPossDataset(SegmentationDataset):
    """SemanticPOSS, 13 classes; train sequences 00, 01, 02, 04, 05, validation 03."""

    LABELS = label_maps.SEMANTICPOSS
    PROTOCOL = 'frames-of-sequences'
    CREATE_COMMAND = '`python tools/create_data.py semanticposs --root-path <root>`'
