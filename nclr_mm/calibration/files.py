"""Reading of cameras' matrices from the files in use."""

from __future__ import annotations

import json
import os
import reprlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from nclr_mm.datasets.checks import check_intrinsics, check_rigid

__all__ = ['Intrinsics', 'read_drive', 'read_extrinsics', 'read_intrinsics', 'read_rig']

# Numbers that OpenCV's model of lens distortion may have.
_DISTORTIONS = (4, 5, 8, 12, 14)


@dataclass
class Intrinsics:
    """A pinhole camera with the distortion of its lens.

    Attributes:
        cam2img: (3, 3) in pixels, the centre of the first pixel being (0, 0).
        distortion: k1, k2, p1, p2, k3, ... of OpenCV's model; empty without distortion. With
            ``fisheye`` the four of OpenCV's fisheye model.
        fisheye: which model it is.
        size: (width, height) of the images that they are for, or None where that is not said.
    """

    cam2img: np.ndarray
    distortion: np.ndarray
    fisheye: bool = False
    size: tuple[int, int] | None = None

    def undistort(self, image: np.ndarray) -> np.ndarray:
        """Take the distortion out of an image; ``cam2img`` then is its camera matrix."""
        # A fisheye lens without coefficients is none without distortion.
        if not self.fisheye and not self.distortion.any():
            return image
        function = cv2.fisheye.undistortImage if self.fisheye else cv2.undistort
        extra = dict(Knew=self.cam2img) if self.fisheye else {}
        return function(image, self.cam2img, self.distortion, **extra)


def read_intrinsics(path: str | os.PathLike) -> dict[str, Intrinsics]:
    """Read one camera or several from a JSON or YAML file.

    A camera is a 3x3 matrix (nested lists, or 9 numbers), or a mapping with

    * ``cam2img``, ``camera_intrinsic`` (nuScenes), ``K`` or ``camera_matrix`` (ROS, with ``data``),
      or ``fx``, ``fy``, ``cx``, ``cy``;
    * where the lens distorts, ``distortion``, ``D`` or ``distortion_coefficients`` (ROS), of 4, 5,
      8, 12 or 14 numbers in OpenCV's order, and ``distortion_model``: ``plumb_bob``,
      ``rational_polynomial``, ``fisheye`` or ``equidistant``;
    * ``width`` and ``height``, or ``image_width`` and ``image_height`` (ROS), of the images.

    Names may be in lower case (ROS 2), and of several YAML documents the first is read.

    A file with several cameras maps their names to these.

    Args:
        path: the file.

    Returns:
        Cameras by name; one without a name is called ``camera``, or as ROS' ``camera_name`` says.

    Raises:
        FileNotFoundError, ValueError: naming the file and what was expected.
    """
    content = _read(path)
    if _is_camera(content):
        name = content.get('camera_name', 'camera') if isinstance(content, dict) else 'camera'
        return {str(name): _camera(content, str(path))}
    if not isinstance(content, dict) or not content:
        raise ValueError(
            f'{path} must hold a 3x3 camera matrix, a camera with cam2img or fx, fy, cx, cy, or '
            'several of them by name.'
        )
    return {str(name): _camera(value, f'{path}, {name}') for name, value in content.items()}


def read_extrinsics(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read ``lidar2cam`` of one camera or several from a JSON or YAML file.

    A pose is a 4x4 or 3x4 matrix, or a mapping with ``lidar2cam`` or ``cam2lidar``. What
    ``tools/calibrate.py`` writes is read too.

    Args:
        path: the file.

    Returns:
        (4, 4) poses by name of the camera; a single one without a name is called ``camera``.

    Raises:
        FileNotFoundError, ValueError: naming the file and what was expected.
    """
    content = _read(path)
    if isinstance(content, dict) and isinstance(content.get('cameras'), dict):
        content = content['cameras']
    if not isinstance(content, dict) or {'lidar2cam', 'cam2lidar'} & content.keys():
        return {'camera': _pose(content, str(path))}
    poses = {
        str(name): _pose(value, f'{path}, {name}')
        for name, value in content.items()
        # What calibrate.py could not solve, or does not stand up for.
        if not (isinstance(value, dict) and value.get('lidar2cam', 0) is None)
    }
    if not poses:
        raise ValueError(f'{path} holds no pose of a camera.')
    return poses


def read_rig(path: str | os.PathLike) -> tuple[dict[str, Intrinsics], np.ndarray]:
    """Read a rig: cameras and where they sit on the vehicle, from a JSON or YAML file.

    ``cameras`` maps names to cameras, or lists cameras that each have a ``name``. A camera has its
    intrinsics as :func:`read_intrinsics` describes them, and ``rig2cam`` or ``cam2rig`` (4x4): any
    frame that is fixed to the vehicle will do, that of one of the cameras too.

    Args:
        path: the file.

    Returns:
        Intrinsics by name, and ``rig2cam`` (V, 4, 4) in their order.

    Raises:
        FileNotFoundError, ValueError: naming the file and what was expected.
    """
    content = _read(path)
    cameras = content.get('cameras') if isinstance(content, dict) else None
    if not isinstance(cameras, dict | list) or not cameras:
        raise ValueError(f"{path} must have 'cameras', each with its intrinsics and rig2cam.")
    if isinstance(cameras, list):
        if not all(isinstance(camera, dict) and 'name' in camera for camera in cameras):
            raise ValueError(f'{path}: each of the cameras must have a name.')
        pairs = [(str(camera['name']), camera) for camera in cameras]
    else:
        pairs = [(str(name), camera) for name, camera in cameras.items()]
    intrinsics, poses = {}, []
    for name, camera in pairs:
        where = f'{path}, {name}'
        if name in intrinsics:
            raise ValueError(f'{path} has two cameras with the name {name}.')
        if not isinstance(camera, dict) or not {'rig2cam', 'cam2rig'} & camera.keys():
            raise ValueError(f'{where} has neither rig2cam nor cam2rig.')
        key = 'rig2cam' if 'rig2cam' in camera else 'cam2rig'
        pose = _matrix(camera[key], f'{where}: {key}')
        poses.append(pose if key == 'rig2cam' else np.linalg.inv(pose))
        intrinsics[name] = _camera(camera, where)
    return intrinsics, np.stack(poses)


def read_drive(
    path: str | os.PathLike, frames: Sequence[str], cameras: Sequence[str]
) -> list[dict]:
    """Read where a vehicle was when its sensors fired, from a JSON or YAML file.

    The file maps the names of frames to mappings of ``lidar`` and each camera to poses (4x4) of the
    rig's frame in the world, and ``stamp`` to that of the scan in seconds, which may be left out.

    Args:
        path: the file.
        frames: names of the frames that are needed, in order.
        cameras: names of the cameras that are needed.

    Returns:
        Of each frame poses (4, 4) by name, and its stamp where it has one.

    Raises:
        FileNotFoundError, ValueError: naming the file and what was expected.
    """
    content = _read(path)
    poses = []
    for frame in frames:
        given = content.get(frame) if isinstance(content, dict) else None
        if given is not None and not isinstance(given, dict):
            raise ValueError(
                f'{path}: frame {frame} must map names to poses, not {reprlib.repr(given)}.'
            )
        lacking = [key for key in ('lidar', *cameras) if key not in (given or {})]
        if lacking:
            raise ValueError(f'{path} lacks the pose {lacking[0]!r} of the frame {frame}.')
        where = f'{path}, frame {frame}'
        found = {key: _matrix(given[key], f'{where}: {key}') for key in ('lidar', *cameras)}
        stamp = given.get('stamp')
        if stamp is not None:
            if isinstance(stamp, bool) or not isinstance(stamp, int | float):
                raise ValueError(
                    f'{where}: stamp must be a number of seconds, not {reprlib.repr(stamp)}.'
                )
            found['stamp'] = _number(stamp, f'{where}: stamp')
        poses.append(found)
    return poses


# Values that the aliases of a YAML file may stand for; more than a thousand cameras have.
_MOST_ALIASED = 100_000


class _Plain(yaml.SafeLoader):
    """Safe YAML whose mappings may not have a key twice, and whose aliases stand for little.

    Of a key that is there twice the last would silently win. Some hundred bytes of aliases to lists
    of aliases stand for more than a memory holds.
    """

    def __init__(self, stream) -> None:
        super().__init__(stream)
        self._sizes: dict[yaml.Node, int] = {}  # values, with what aliases stand for
        self._aliased = 0

    def compose_node(self, parent, index):
        alias = self.peek_event() if self.check_event(yaml.AliasEvent) else None
        node = super().compose_node(parent, index)
        if alias is None:
            content = node.value if isinstance(node, yaml.CollectionNode) else ()
            if isinstance(node, yaml.MappingNode):
                content = [part for pair in content for part in pair]
            self._sizes[node] = 1 + sum(self._sizes[part] for part in content)
            return node
        where = f'line {alias.start_mark.line + 1} has the alias *{alias.anchor}'
        if node not in self._sizes:
            raise ValueError(f'{where} in what it stands for')
        self._aliased += self._sizes[node]
        if self._aliased > _MOST_ALIASED:
            raise ValueError(f'{where}, with which aliases stand for over {_MOST_ALIASED} values')
        return node

    def construct_mapping(self, node, deep=False):
        merge = 'tag:yaml.org,2002:merge'  # "<<": what it brings the mapping's own keys may replace
        _check_unique(
            [self.construct_object(key, deep=deep) for key, _ in node.value if key.tag != merge]
        )
        return super().construct_mapping(node, deep)


def _check_unique(keys: list) -> None:
    seen = set()
    for key in keys:
        if not isinstance(key, Hashable):
            raise ValueError(f'a {type(key).__name__} is no name')
        if key in seen:
            raise ValueError(f'{key!r} stands there twice')
        seen.add(key)


def _unique(pairs: list[tuple]) -> dict:
    _check_unique([key for key, _ in pairs])
    return dict(pairs)


def _read(path: str | os.PathLike):
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; expected a JSON or YAML file.')
    try:
        text = path.read_text(encoding='utf-8')
        if path.suffix.lower() == '.json':
            return json.loads(text, object_pairs_hook=_unique)
        return next(iter(yaml.load_all(text, _Plain)), None)
    # The last, where it is nested without end.
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f'{path} is not readable JSON or YAML: {error}') from error


_DISTORTION_FIELDS = ('distortion', 'D', 'd', 'distortion_coefficients')
_MATRICES = ('cam2img', 'camera_intrinsic', 'camera_matrix', 'K', 'k')


def _is_camera(content) -> bool:
    if isinstance(content, dict):
        return 'fx' in content or any(name in content for name in _MATRICES)
    return isinstance(content, list)


def _camera(content, where: str) -> Intrinsics:
    given = content if isinstance(content, dict) else {'cam2img': content}
    name = next((name for name in _MATRICES if name in given), None)
    if name is not None:
        matrix = _numbers(given[name], f'{where}: {name}')
        if matrix.size != 9:
            raise ValueError(f'{where}: {name} must be 3x3, got {matrix.size} numbers.')
        matrix = matrix.reshape(3, 3)
    else:
        lacking = [key for key in ('fx', 'fy', 'cx', 'cy') if key not in given]
        if lacking:
            raise ValueError(
                f'{where} has neither a camera matrix (cam2img) nor all of fx, fy, cx, cy: '
                f'{lacking[0]} is missing.'
            )
        fx, fy, cx, cy = (
            _number(given[key], f'{where}: {key}') for key in ('fx', 'fy', 'cx', 'cy')
        )
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    check_intrinsics(matrix, f'{where}: the camera matrix')

    field = next((name for name in _DISTORTION_FIELDS if name in given), None)
    distortion = np.zeros(0)
    if field is not None:
        distortion = _numbers(given[field], f'{where}: {field}').ravel()
    model = str(given.get('distortion_model') or 'plumb_bob').lower()
    fisheye = model in ('fisheye', 'equidistant')
    if not fisheye and model not in ('plumb_bob', 'rational_polynomial', 'none'):
        raise ValueError(
            f'{where}: distortion_model must be plumb_bob, rational_polynomial, fisheye or '
            f'equidistant, got {model}.'
        )
    fit = (4,) if fisheye else _DISTORTIONS
    if fisheye and not len(distortion):
        distortion = np.zeros(4)
    if (fisheye or distortion.any()) and len(distortion) not in fit:
        raise ValueError(
            f'{where}: {field} must hold {" or ".join(map(str, fit))} numbers for the model '
            f'{model}, got {len(distortion)}.'
        )
    return Intrinsics(matrix, distortion, fisheye, _size(given, where))


def _size(given: Mapping, where: str) -> tuple[int, int] | None:
    for width, height in (('image_width', 'image_height'), ('width', 'height')):
        if width in given and height in given:
            size = [_number(given[name], f'{where}: {name}') for name in (width, height)]
            # ROS leaves them 0 where they are not known.
            return (int(size[0]), int(size[1])) if min(size) > 0 else None
    return None


def _pose(content, where: str) -> np.ndarray:
    inverse = False
    if isinstance(content, dict):
        if not {'lidar2cam', 'cam2lidar'} & content.keys():
            raise ValueError(f'{where} has neither lidar2cam nor cam2lidar.')
        inverse = 'lidar2cam' not in content
        content = content['cam2lidar' if inverse else 'lidar2cam']
    pose = _matrix(content, where)
    return np.linalg.inv(pose) if inverse else pose


def _matrix(content, where: str) -> np.ndarray:
    """A rigid motion (4, 4), of 3x4 or 4x4 numbers."""
    matrix = _numbers(content, where)
    if matrix.shape not in ((3, 4), (4, 4)):
        raise ValueError(f'{where} must be a 4x4 matrix, got the shape {matrix.shape}.')
    pose = np.eye(4)
    pose[: len(matrix)] = matrix
    return check_rigid(pose, where)


def _number(value, where: str) -> float:
    number = _numbers(value, where)
    if number.shape:
        raise ValueError(f'{where} must be a number, got {reprlib.repr(value)}.')
    return float(number)


def _numbers(values, where: str) -> np.ndarray:
    if isinstance(values, dict):  # ROS: rows, cols, data
        values = values.get('data')
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f'{where} must hold numbers, got {reprlib.repr(values)}.') from error
    if not np.isfinite(numbers).all():
        raise ValueError(f'{where} holds numbers that are not finite.')
    return numbers
