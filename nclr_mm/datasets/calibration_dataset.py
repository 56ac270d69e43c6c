"""Samples of a scan and the images of its cameras, with exact calibration."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

import numpy as np
from mmdet3d.registry import DATASETS
from mmengine.dataset import BaseDataset

from .broken import SkipsBroken
from .checks import as_numbers, check_intrinsics, check_rigid
from .infos import check_sample, join_inside, read_infos
from .samplers import SeededDraws


@DATASETS.register_module()
class CalibrationDataset(SeededDraws, SkipsBroken, BaseDataset):
    """Scans and images listed in an info file, as docs/data.md describes it.

    As it stands it serves any rig whose info file has paths relative to ``data_root``; the
    subclasses know the layouts of public data sets.

    Args:
        ann_file: the info file, relative to ``data_root`` unless absolute.
        data_root: root of the data.
        data_prefix: folder, relative to ``data_root``, of the scans (``pts``), of the images
            (``img``, or the name of a camera where each has a folder of its own). None takes
            what the layout has.
        cameras: names of the cameras to use, in this order; None takes those of the class, here
            all of the first entry.
        repeats: how many times an epoch goes through the samples. ``repeat_idx`` counts the rounds,
            so that perturbations seeded by sample differ between them.
        outside_root: whether paths of the info file may lead out of ``data_root`` (absolute, or
            with ``..``), which lets whoever wrote it choose any file that you can read.
        max_broken: how many samples that cannot be loaded are passed over in training, see
            :class:`nclr_mm.datasets.broken.SkipsBroken`.
        pipeline, test_mode, indices and others: as in mmengine's BaseDataset.

    Each item of the pipeline's input has ``sample_idx``, ``repeat_idx``, ``lidar_points`` and
    ``images`` as in the info file, with full paths and, for each camera, ``cam2img`` (3, 3) and
    ``lidar2cam`` (4, 4) as float64 arrays; ``token``, ``timestamp`` and the paths of label files
    where the info file has them.

    Raises:
        FileNotFoundError: without the info file, saying which command makes it.
        ValueError: if the info file cannot be read or has another form, if an entry lacks a field
            or a camera, or if its matrices are not 3x3 and rigid.
    """

    DATA_PREFIX: dict[str, str] = {}
    CAMERAS: tuple[str, ...] | None = None
    CREATE_COMMAND = 'your own script (docs/data.md, "Your own rig")'
    OPTIONAL_KEYS = ('token', 'scene', 'timestamp')
    MASK_KEYS = ('pts_semantic_mask', 'pts_panoptic_mask')

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: dict[str, str] | None = None,
        cameras: Sequence[str] | None = None,
        repeats: int = 1,
        outside_root: bool = False,
        pipeline: Sequence[dict | Callable] = (),
        **kwargs,
    ) -> None:
        if repeats < 1:
            raise ValueError(f'repeats must be at least 1, got {repeats}.')
        self.cameras = self.CAMERAS if cameras is None else tuple(cameras)
        self.repeats = repeats
        self.outside_root = outside_root
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=dict(self.DATA_PREFIX if data_prefix is None else data_prefix),
            pipeline=list(pipeline),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Read the info file and check all its matrices at once."""
        infos = read_infos(self.ann_file, self.CREATE_COMMAND)
        for key, value in infos['metainfo'].items():
            self._metainfo.setdefault(key, value)  # as BaseDataset: the class and config win
        samples = [self.parse_data_info(entry) for entry in infos['data_list']]
        self._check_matrices(samples)
        return samples

    def __len__(self) -> int:
        return super().__len__() * self.repeats

    def get_data_info(self, idx: int) -> dict:
        """Entry ``idx``; its ``sample_idx`` is that of the info file, not the position here."""
        if not -len(self) <= idx < len(self):
            raise IndexError(f'{idx} is outside of {len(self)} samples.')
        repeat, position = divmod(idx % len(self), len(self) // self.repeats)
        info = super().get_data_info(position)
        info['sample_idx'] = info.pop('sample_key')  # BaseDataset writes the position there
        info['repeat_idx'] = repeat
        return info

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Keep what calibration needs of an entry, with full paths."""
        where = check_sample(raw_data_info, self.ann_file)
        try:
            sample = dict(
                sample_key=raw_data_info['sample_idx'],
                lidar_points=dict(raw_data_info['lidar_points']),
                images=dict(raw_data_info['images']),
            )
            scan = sample['lidar_points']
            scan['lidar_path'] = self._join('pts', scan['lidar_path'])
        except KeyError as error:
            raise ValueError(f'{where} lacks the field {error}.') from error
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{where} must have the dicts 'lidar_points' and 'images', and a path in "
                f'lidar_points.lidar_path: {error}.'
            ) from error
        if self.cameras is None:
            self.cameras = tuple(sample['images'])
        missing = [name for name in self.cameras if name not in sample['images']]
        if missing:
            present = ', '.join(map(str, sample['images'])) or 'none'
            raise ValueError(f'{where} has no camera {missing[0]}; it has {present}.')
        sample['images'] = {
            name: self._parse_image(name, sample['images'][name], where) for name in self.cameras
        }
        for key in self.OPTIONAL_KEYS:
            if key in raw_data_info:
                sample[key] = raw_data_info[key]
        for key in self.MASK_KEYS:
            if f'{key}_path' in raw_data_info:
                sample[f'{key}_path'] = self._join(key, raw_data_info[f'{key}_path'], where)
        return sample

    def _parse_image(self, camera: str, raw: dict, where: str) -> dict:
        """The entry of a camera with its full path and its matrices as arrays."""
        field = 'entry'
        try:
            image = dict(raw)
            field = 'img_path'
            image[field] = self._join(camera if camera in self.data_prefix else 'img', raw[field])
            for field in ('cam2img', 'lidar2cam'):
                image[field] = as_numbers(raw[field])
            # The loader compares them with the image: cam2img belongs to one size.
            for field in ('width', 'height'):
                image[field] = operator.index(raw[field])
        except KeyError as error:
            raise ValueError(f'{where}, {camera}, lacks the field {error}.') from error
        except (TypeError, ValueError) as error:
            raise ValueError(f'{where}, {camera}: the {field} is unfit: {error}.') from error
        return image

    def _join(self, prefix: str, path: str, source: str | None = None) -> str:
        folder = self.data_prefix.get(prefix, self.data_root)
        return join_inside(folder, path, self.outside_root, source)

    def _check_matrices(self, samples: list[dict]) -> None:
        for key, check in (('cam2img', check_intrinsics), ('lidar2cam', check_rigid)):
            for camera in self.cameras:
                matrices = [sample['images'][camera][key] for sample in samples]
                try:
                    check(np.stack(matrices), key)
                except ValueError:  # then look for the one at fault, to name it
                    for sample, matrix in zip(samples, matrices, strict=True):
                        where = f'sample {sample["sample_key"]}, {camera}'
                        check(matrix, f'{self.ann_file}: {key} of {where}')
                    raise
