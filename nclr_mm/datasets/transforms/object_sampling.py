"""Objects from the ground-truth database."""

from pathlib import Path

import numpy as np
from mmdet3d.datasets.transforms.dbsampler import DataBaseSampler
from mmdet3d.registry import TRANSFORMS
from mmengine.logging import print_log

from ..detection_infos import check_box
from ..infos import join_inside, reading_infos
from ..kitti import KITTI_COMMAND


class _Draws:
    """Objects of a class, in place of mmdet3d's BatchSampler."""

    def __init__(self, entries: list[dict]) -> None:
        self._entries = entries

    def sample(self, num: int) -> list[dict]:
        """So many different ones, or all if there are fewer."""
        # The generator that mmdet3d's transforms draw from, which is seeded for each sample.
        order = np.random.permutation(len(self._entries))  # noqa: NPY002
        return [self._entries[i] for i in order[:num]]


@TRANSFORMS.register_module()
class CheckedDataBaseSampler(DataBaseSampler):
    """mmdet3d's sampler, which tells before training what it would trip over while it runs.

    A file of the database that is gone is an error. A class without an object left (in few
    frames, or after filtering) is not sampled, with a notice; mmdet3d fails on it.

    Objects are drawn by NumPy's generator alone. mmdet3d goes through a shuffled list instead,
    whose place each loader process keeps to itself: what it samples depends on how many there are,
    and is another after a run was interrupted.

    Args:
        outside_root: whether paths of the database may lead out of the data root.
        kwargs: arguments of :class:`mmdet3d.datasets.transforms.DataBaseSampler`.

    Raises:
        FileNotFoundError: if the database or one of its objects is missing.
        ValueError: if the database cannot be read, or the path of an object leads out of the data
            root, or its box is not finite or has no volume.
    """

    def __init__(
        self, info_path: str, data_root: str, outside_root: bool = False, **kwargs
    ) -> None:
        if not Path(info_path).is_file():
            command = KITTI_COMMAND.replace('<root>', str(data_root))
            raise FileNotFoundError(
                f'{info_path} is missing: {command} makes the ground-truth database.'
            )
        with reading_infos(info_path, KITTI_COMMAND):
            super().__init__(info_path=info_path, data_root=data_root, **kwargs)
        self.sampler_dict = {name: _Draws(entries) for name, entries in self.db_infos.items()}
        self._wanted = dict(zip(self.sample_classes, self.sample_max_nums, strict=True))
        for name, entry in ((n, e) for n in self._wanted for e in self.db_infos.get(n, ())):
            if entry.get('name') != name:
                given = entry.get('name')
                given = repr(given) if isinstance(given, str) else f'of a {type(given).__name__}'
                raise ValueError(f'{info_path}: an object of {name} has the name {given}.')
            lacking = [key for key in ('path', 'image_idx') if key not in entry]
            if lacking:
                raise ValueError(f'{info_path}: an object of {name} lacks the field {lacking[0]}.')
            check_box(
                entry.get('box3d_lidar'), f'{info_path}: an object of {name}, its box3d_lidar'
            )
            path = join_inside(data_root or '', entry['path'], outside_root, info_path)
            if not Path(path).is_file():
                raise FileNotFoundError(
                    f'{path} is missing, an object of the ground-truth database {info_path}: '
                    f'make it anew with {KITTI_COMMAND}.'
                )
        self._leave_out_empty_classes()

    def keep_frames(self, frames: set[int]) -> None:
        """Sample objects of these frames alone (``image_idx`` of the database)."""
        for name, entries in self.db_infos.items():
            kept = [entry for entry in entries if entry['image_idx'] in frames]
            self.db_infos[name] = kept
            self.sampler_dict[name] = _Draws(kept)
        self._leave_out_empty_classes()

    def _leave_out_empty_classes(self) -> None:
        self.sample_classes = [name for name in self._wanted if self.db_infos.get(name)]
        self.sample_max_nums = [self._wanted[name] for name in self.sample_classes]
        empty = sorted(set(self._wanted) - set(self.sample_classes))
        if empty:
            print_log(
                f'{self.info_path}: no object of {", ".join(empty)} is left to sample.', 'current'
            )

    @staticmethod
    def filter_by_min_points(db_infos: dict, min_gt_points_dict: dict) -> dict:
        """Leave out objects of few points; classes that the database lacks have none."""
        known = {name: n for name, n in min_gt_points_dict.items() if name in db_infos}
        return DataBaseSampler.filter_by_min_points(db_infos, known)
