"""Where the frames of a rig come from: a data set, files, or a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from nclr_mm.calibration import Intrinsics, read_drive
from nclr_mm.datasets import CalibrationDataset
from nclr_mm.datasets.checks import in_frame_order, read_image
from nclr_mm.datasets.scans import SCAN_SUFFIXES, read_scan
from nclr_mm.engine.command_line import build_dataset

from .calibration import given_points
from .rig import RigFrame, ego_motion

__all__ = [
    'frames_of',
    'frames_of_files',
    'frames_of_folder',
    'read_camera',
    'split_of',
    'stored_rig',
]

_IMAGES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')


def read_camera(intrinsics: Intrinsics, path: str | os.PathLike) -> np.ndarray:
    """An image without distortion, of the size that its intrinsics are for."""
    return intrinsics.undistort(read_image(path, size=intrinsics.size))


def frames_of_files(
    scans: Sequence[str | os.PathLike],
    images: Sequence[Sequence[str | os.PathLike]],
    intrinsics: Sequence[Intrinsics],
    columns: int | None = None,
    poses: Sequence[Mapping] | None = None,
    cameras: Sequence[str] = (),
) -> Iterator[RigFrame]:
    """Frames of files, each read when its turn comes.

    Args:
        scans: F files.
        images: F lists of V files.
        intrinsics: of the V cameras; their distortion is taken out of the images.
        columns: of ``.bin`` scans, see :func:`nclr_mm.datasets.scans.read_scan`.
        poses: of each frame ``lidar`` and each camera's name -> (4, 4) pose of the rig's frame in
            the world at its stamp, and if known ``stamp`` in seconds; or None.
        cameras: the names, where there are poses.
    """
    for index, (scan, pictures) in enumerate(zip(scans, images, strict=True)):
        given = {} if poses is None else poses[index]
        motion = None
        if 'lidar' in given:
            motion = ego_motion(given['lidar'], np.stack([given[name] for name in cameras]))
        yield RigFrame(
            points=_reader(scan, columns),
            images=[
                _camera_reader(camera, path)
                for camera, path in zip(intrinsics, pictures, strict=True)
            ],
            motion=motion,
            stamp=given.get('stamp'),
            name=Path(scan).stem,
        )


def frames_of_folder(
    folder: str | os.PathLike,
    intrinsics: Mapping[str, Intrinsics],
    columns: int | None = None,
) -> list[RigFrame]:
    """Frames of a folder: ``points/NAME.bin`` (or another format) and ``CAMERA/NAME.png``.

    Frames are taken in the order of the numbers in their names. A file ``poses.json`` may say where
    the vehicle was: ``{NAME: {"stamp": seconds, "lidar": 4x4, CAMERA: 4x4, ...}}``, poses of the
    rig's frame in the world at the stamp of the scan and of each image.

    Args:
        folder: it.
        intrinsics: of the cameras, by the names of their folders.
        columns: of ``.bin`` scans.

    Raises:
        FileNotFoundError, ValueError: naming the file at fault.
    """
    folder = Path(folder)
    scans = _by_name(folder / 'points', SCAN_SUFFIXES)
    pictures = {name: _by_name(folder / name, _IMAGES) for name in intrinsics}
    for name, files in pictures.items():
        missing = [stem for stem in scans if stem not in files]
        if missing:
            raise FileNotFoundError(f'{folder / name} has no image of the frame {missing[0]}.')
    poses = None
    if (folder / 'poses.json').is_file():
        poses = read_drive(folder / 'poses.json', list(scans), list(intrinsics))
    return list(
        frames_of_files(
            list(scans.values()),
            [[pictures[name][stem] for name in intrinsics] for stem in scans],
            list(intrinsics.values()),
            columns,
            poses,
            list(intrinsics),
        )
    )


def _by_name(folder: Path, endings: Sequence[str]) -> dict[str, Path]:
    """Files with one of the endings, by their names without it, in the order of their numbers."""
    if not folder.is_dir():
        raise FileNotFoundError(f'There is no folder {folder}.')
    files = in_frame_order(path for path in folder.iterdir() if path.suffix.lower() in endings)
    if not files:
        raise FileNotFoundError(f'{folder} holds no file that ends with {", ".join(endings)}.')
    return {path.stem: path for path in files}


def split_of(model: nn.Module, split: str) -> CalibrationDataset:
    """The data set of a split of the model's config, without its pipeline.

    Raises:
        ValueError: if the model does not calibrate, or its config has no such split.
    """
    loader = model.cfg.get(f'{split}_dataloader')
    if not loader or not hasattr(model, 'calib_head'):
        raise ValueError(f"The model's config calibrates nothing, or has no {split}_dataloader.")
    return build_dataset(dict(loader.dataset, pipeline=[]), f'{split}_dataloader')


def frames_of(dataset: CalibrationDataset, scene: str | None = None) -> Iterator[RigFrame]:
    """Frames of a data set, in its order, with the stored calibration as their motion.

    The rig's frame is that of the LiDAR as it is stored, so that ``rig2cam`` of
    :func:`calibrate_rig` is to be :func:`stored_rig`, and ``lidar2rig`` is found to be the identity
    where the stored calibration is right. What a vehicle drives between the stamps is in the
    stored ``lidar2cam`` of each frame (nuScenes), or was taken out of the scans (KITTI).

    Args:
        dataset: its pipeline is not used.
        scene: takes the frames of this scene alone.

    Raises:
        ValueError: if there is no such scene, naming those that there are, or the intrinsics of a
            camera change on the way.
    """
    scenes: dict[str, None] = {}
    found, first, lenses = False, None, None
    for index in range(len(dataset) // dataset.repeats):
        info = dataset.get_data_info(index)
        scenes[str(info.get('scene'))] = None
        if scene is not None and str(info.get('scene')) != scene:
            continue
        found = True
        images = [info['images'][name] for name in dataset.cameras]
        stored = np.stack([image['lidar2cam'] for image in images])
        first = stored if first is None else first
        cam2img = np.stack([image['cam2img'] for image in images])
        lenses = cam2img if lenses is None else lenses
        for name, own, before in zip(dataset.cameras, cam2img, lenses):
            if not np.allclose(own, before):
                raise ValueError(
                    f'{name} has other intrinsics in frame {info["sample_idx"]} (scene '
                    f'{info.get("scene")}) than in the frames before it: take one scene.'
                )
        lidar = info['lidar_points']
        yield RigFrame(
            points=_reader(lidar['lidar_path'], lidar.get('num_pts_feats')),
            images=[_image_reader(image) for image in images],
            motion=np.linalg.inv(first) @ stored,
            stamp=info.get('timestamp'),
            name=str(info['sample_idx']),
        )
    if not found:
        raise ValueError(f'There is no scene {scene}; there are {", ".join(scenes) or "none"}.')


def stored_rig(dataset: CalibrationDataset, scene: str | None = None) -> tuple[np.ndarray, ...]:
    """cam2img (V, 3, 3) and rig2cam (V, 4, 4) of the first frame of a data set, or of a scene."""
    for index in range(len(dataset) // dataset.repeats):
        info = dataset.get_data_info(index)
        if scene is None or str(info.get('scene')) == scene:
            images = [info['images'][name] for name in dataset.cameras]
            return tuple(
                np.stack([image[key] for image in images]) for key in ('cam2img', 'lidar2cam')
            )
    raise ValueError(f'There is no scene {scene} among {len(dataset)} frames.')


def _reader(path: str | os.PathLike, columns: int | None) -> Callable[[], np.ndarray]:
    return lambda: given_points(read_scan(path, columns), 1.0, os.fspath(path))


def _image_reader(camera: dict) -> Callable[[], np.ndarray]:
    size = camera['width'], camera['height']
    return lambda: read_image(camera['img_path'], size=size)


def _camera_reader(intrinsics: Intrinsics, path: str | os.PathLike) -> Callable[[], np.ndarray]:
    return lambda: read_camera(intrinsics, path)
