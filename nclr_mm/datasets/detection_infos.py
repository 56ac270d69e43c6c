"""Info files and samples of detectors, checked."""

from __future__ import annotations

import reprlib

import numpy as np
from mmengine.logging import print_log

from .checks import as_numbers, check_rigid
from .infos import check_sample, join_inside, reading_infos, require_info_file

__all__ = ['ChecksInfos', 'check_box']


class _Short(reprlib.Repr):
    """Two levels of lists, and no more of what else may hold some."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple = 2, 10, 10

    def repr_instance(self, x: object, level: int) -> str:
        plain = x is None or isinstance(x, float | bool | np.number)
        return repr(x) if plain else type(x).__name__


_short = _Short().repr


class ChecksInfos:
    """Mix-in of mmdet3d's detection data sets: checks the info file, and what is left of a frame.

    Paths of scans and images stay in the data root. Of a path of an earlier sweep mmdet3d takes the
    name of the file alone. Boxes of the classes to be found are finite, and have a volume; poses of
    cameras are rigid. To be mixed in behind :class:`nclr_mm.datasets.broken.SkipsBroken`.

    A frame without a point (in the range of the pipeline) trains nothing: another is drawn in its
    place, as mmdet3d does for one without objects, and has the number of such frames as
    ``num_empty_samples`` in its metainfo. A test ends there with an error that names the frame.

    Args:
        outside_root: whether paths may lead out of it.
        args, kwargs: of the data set.

    Raises:
        FileNotFoundError: without the info file, saying which command makes it.
        ValueError: naming the info file and what is wrong in it.
    """

    CREATE_COMMAND = ''

    def __init__(self, *args, outside_root: bool = False, **kwargs) -> None:
        self.outside_root = outside_root
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the info file."""
        require_info_file(self.ann_file, self.CREATE_COMMAND)
        with reading_infos(self.ann_file, self.CREATE_COMMAND):
            return super().load_data_list()

    def parse_data_info(self, info: dict) -> dict | list[dict]:
        """Join the paths of an entry with the folders of the config, where they stay inside."""
        where = check_sample(info, self.ann_file)
        # Beside cameras, mmdet3d's info files of KITTI have the rectifying rotation there.
        cameras = {k: v for k, v in info.get('images', {}).items() if isinstance(v, dict)}
        paths = [camera.get('img_path') for camera in cameras.values()]
        for path in filter(None, [info.get('lidar_points', {}).get('lidar_path'), *paths]):
            join_inside(str(self.data_root), path, self.outside_root, self.ann_file)
        for name, camera in cameras.items():
            if 'lidar2cam' in camera:
                check_rigid(camera['lidar2cam'], f'{where}: lidar2cam of {name}')
            for key in ('cam2img', 'lidar2img'):  # 3x3 or, with a fourth column, 4x4
                _check_finite(camera.get(key, 0), f'{where}: {key} of {name}')
        if info.get('plane') is not None:
            _check_finite(info['plane'], f'{where}: plane')
        for number, instance in enumerate(info.get('instances') or ()):
            label = instance['bbox_label_3d']
            if label not in self.label_mapping:
                raise ValueError(
                    f'{where}: bbox_label_3d of object {number} must be one of the categories '
                    f'{sorted(self.label_mapping)} of the file, got {_short(label)}.'
                )
            # Of others, which have the label -1, KITTI does not know the size.
            if label >= 0:
                check_box(instance.get('bbox_3d'), f'{where}: bbox_3d of object {number}')
        return super().parse_data_info(info)

    def prepare_data(self, index: int) -> dict | None:
        """Pass one frame through the pipeline; None, to draw another, if nothing is left of it.

        Raises:
            ValueError: in a test, naming the scan that has no point in range.
        """
        sample = super().prepare_data(index)
        views = sample if isinstance(sample, list) else [sample]  # several under augmentation
        if sample is None or all(len(view['inputs']['points']) for view in views):
            return sample
        scan = self.get_data_info(index)['lidar_points']['lidar_path']
        if self.test_mode:
            raise ValueError(f'{scan} has no point in the range of the pipeline.')
        print_log(f'{scan} has no point in the range of the pipeline: left out.', 'current')
        self._left_out['num_empty_samples'] += 1
        return None


def _check_finite(values: object, name: str) -> None:
    try:
        finite = np.isfinite(as_numbers(values)).all()
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name} must be numbers, got {_short(values)}.') from error
    if not finite:
        raise ValueError(f'{name} holds numbers that are not finite.')


def check_box(values: object, name: str) -> None:
    """Raise ValueError unless these are the numbers of a box that mmdet3d can train on, in float32.

    Args:
        values: position and sizes in metres, and the angle: 7.
        name: what the message calls them, with the file that they are from.
    """
    try:
        # Lists in lists that are there twice are without end to NumPy.
        if any(isinstance(value, list | tuple) for value in values):
            raise TypeError
        with np.errstate(over='ignore', under='ignore'):
            box = np.asarray(values, dtype=np.float64).astype(np.float32)
    except (TypeError, ValueError):
        box = np.empty(0)
    if box.shape != (7,) or not np.isfinite(box).all() or (box[3:6] <= 0).any():
        raise ValueError(
            f'{name} must be 7 finite numbers, a position, three positive sizes and an angle, got '
            f'{_short(values)}.'
        )
