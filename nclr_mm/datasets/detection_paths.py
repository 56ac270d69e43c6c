"""Paths of the info files of detectors."""

from __future__ import annotations

from .infos import join_inside

__all__ = ['ChecksPaths']


class ChecksPaths:
    """Mix-in of mmdet3d's detection data sets: paths of the info file stay in the data root.

    Those of scans and images are looked at. Of a path of an earlier sweep mmdet3d takes the name of
    the file alone.

    Args:
        outside_root: whether they may lead out of it.
        args, kwargs: of the data set.

    Raises:
        ValueError: naming the info file and the path that leads out.
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
        return super().parse_data_info(info)
