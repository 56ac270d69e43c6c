"""Info files of detectors, checked."""

from __future__ import annotations

import numpy as np

from .infos import join_inside

__all__ = ['ChecksInfos']


class ChecksInfos:
    """Mix-in of mmdet3d's detection data sets: checks what the info file says of a sample.

    Paths of scans and images stay in the data root. Of a path of an earlier sweep mmdet3d takes the
    name of the file alone. Boxes of the classes to be found are finite, and have a volume.

    Args:
        outside_root: whether paths may lead out of it.
        args, kwargs: of the data set.

    Raises:
        ValueError: naming the info file and the path that leads out, or the sample and the box.
    """

    def __init__(self, *args, outside_root: bool = False, **kwargs) -> None:
        self.outside_root = outside_root
        super().__init__(*args, **kwargs)

    def parse_data_info(self, info: dict) -> dict | list[dict]:
        """Join the paths of an entry with the folders of the config, where they stay inside."""
        # Beside cameras, mmdet3d's info files of KITTI have the rectifying rotation there.
        cameras = [part for part in info.get('images', {}).values() if isinstance(part, dict)]
        paths = [camera.get('img_path') for camera in cameras]
        for path in filter(None, [info.get('lidar_points', {}).get('lidar_path'), *paths]):
            join_inside(str(self.data_root), path, self.outside_root, self.ann_file)
        for number, instance in enumerate(info.get('instances') or ()):
            # Of others, which have the label -1, KITTI does not know the size.
            if instance.get('bbox_label_3d', -1) >= 0 and not _is_box(instance.get('bbox_3d')):
                raise ValueError(
                    f'{self.ann_file}: bbox_3d of object {number} in sample '
                    f'{info.get("sample_idx")} must be 7 finite numbers, a position, three '
                    f'positive sizes and an angle, got {instance.get("bbox_3d")!r}.'
                )
        return super().parse_data_info(info)


def _is_box(values: object) -> bool:
    try:
        box = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return box.shape == (7,) and bool(np.isfinite(box).all() and (box[3:6] > 0).all())
