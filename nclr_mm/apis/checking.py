"""Checking the calibration that a data set stores."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache, partial

import numpy as np
from mmdet3d.registry import DATASETS
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from torch import nn

from nclr_mm.calibration import CameraCheck, CheckedFrame, EdgeFrame, check_camera
from nclr_mm.datasets import CalibrationDataset
from nclr_mm.datasets.checks import read_image
from nclr_mm.datasets.scans import read_scan
from nclr_mm.models.task_modules import RigSolver

from .calibration import given_points
from .looks import Looker

__all__ = ['Drive', 'check_calibration', 'look_at_drive']


#: What the network made of a drive: camera -> its frames, in the order of the data set.
Drive = dict[str, list[CheckedFrame]]


def look_at_drive(
    model: nn.Module,
    dataset: CalibrationDataset | Mapping,
    looks: int = 2,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Drive:
    """Run the network on each frame of a data set.

    Args:
        model: a trained NCLR model of :func:`nclr_mm.apis.init_model`.
        dataset: the frames, or their config. Its own pipeline is not used, that of the model's
            config is.
        looks: at each frame, at least 1.
        seed: of the motions of the points.
        progress: called after each frame with the number done and that of all.

    Raises:
        FileNotFoundError, ValueError: naming the file at fault.
    """
    if looks < 1:
        raise ValueError(f'looks must be at least 1, got {looks}.')
    if isinstance(dataset, Mapping):
        init_default_scope(model.cfg.get('default_scope', 'mmdet3d'))
        dataset = DATASETS.build(dataset)
    names = list(dataset.cameras)
    looker = Looker(model, names, seed)
    drive: Drive = {name: [] for name in names}
    total = len(dataset) // dataset.repeats
    for index in range(total):
        info = dataset.get_data_info(index)
        cameras = [info['images'][name] for name in names]
        lidar = info['lidar_points']
        found = looker.look(
            given_points(
                read_scan(lidar['lidar_path'], lidar.get('num_pts_feats')), 1.0, lidar['lidar_path']
            ),
            [_image(camera) for camera in cameras],
            np.stack([camera['cam2img'] for camera in cameras]),
            index,
            looks,
        )
        for i, name in enumerate(names):
            drive[name].append(
                CheckedFrame(
                    name=str(info['sample_idx']),
                    matches=[look.matches[i] for look in found],
                    poses=[look.poses[i] for look in found],
                    stored=cameras[i]['lidar2cam'],
                    cam2img=looker.cam2img[i],
                    edges=partial(_edges_of, info['lidar_points'], cameras[i]),
                    scene=info.get('scene'),
                    image_size=looker.image_size,
                )
            )
        progress(index + 1, total)
    for warning in looker.input_warnings():
        print_log(f'{warning}.', 'current', logging.WARNING)
    return drive


def _image(camera: Mapping) -> np.ndarray:
    return read_image(camera['img_path'], size=(camera['width'], camera['height']))


def _edges_of(lidar: Mapping, camera: Mapping) -> tuple[EdgeFrame, np.ndarray]:
    """Edges of a frame, read again when they are asked for: a drive's would not fit in memory."""
    path, columns = str(lidar['lidar_path']), lidar.get('num_pts_feats')
    return _read_edges(path, columns, str(camera['img_path'])), camera['cam2img']


@lru_cache(maxsize=16)
def _read_edges(scan: str, columns: int | None, image: str) -> EdgeFrame:
    return EdgeFrame.of(read_scan(scan, columns), read_image(image))


def check_calibration(model: nn.Module, drive: Drive, **settings) -> dict[str, CameraCheck]:
    """Compare the stored calibration of each camera with what the network saw.

    Args:
        model: whose solvers find the poses and their covariances.
        drive: of :func:`look_at_drive`.
        settings: ``window``, ``tolerances``, ``align``, ``aligned_tolerances``, ``thresholds`` of
            :func:`nclr_mm.calibration.check_camera`.

    Returns:
        Camera -> its check.
    """
    head = model.calib_head
    rig_solver = head.rig_solver or RigSolver()
    return {
        name: check_camera(frames, head.solver, rig_solver, **settings)
        for name, frames in drive.items()
    }
