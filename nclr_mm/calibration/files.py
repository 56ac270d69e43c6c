"""Reading of cameras' matrices from the files in use."""

from __future__ import annotations

import difflib
import json
import os
import re
import reprlib
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import yaml

from nclr_mm.datasets.checks import check_intrinsics, check_rigid

__all__ = ['Intrinsics', 'read_drive', 'read_extrinsics', 'read_intrinsics', 'read_rig']

# Coefficients of OpenCV's two models of a lens in their order, and the lengths of a vector of them.
_RADTAN = ['k1', 'k2', 'p1', 'p2', 'k3', 'k4', 'k5', 'k6', 's1', 's2', 's3', 's4', 'tau_x', 'tau_y']
_LENSES = {'radtan': (_RADTAN, (4, 5, 8, 12, 14)), 'fisheye': (_RADTAN[:2] + ['k3', 'k4'], (4,))}


def _plain(key: object) -> str:
    return re.sub('[^a-z0-9]', '', str(key).lower())


# Keys of a camera by their meaning. Only letters and digits count, in any case.
_KEYS = {
    'matrix': 'cam2img camera_intrinsic camera_intrinsics camera_matrix K mtx intrinsic_matrix '
    'intrinsics intrinsic projection_parameters',
    'params': 'params',
    **{name: name for name in ('fx', 'fy', 'skew', *_RADTAN)},
    'cx': 'cx ppx',
    'cy': 'cy ppy',
    'distortion': 'distortion D distortion_coefficients distortion_coeffs distortion_coefs '
    'distortion_parameters distortion_params dist_coeffs dist_coefs dist coefficients coeffs '
    'camera_distortion lens_distortion',
    'model': 'distortion_model camera_model model model_type distortion_type projection_model type',
    'fisheye': 'fisheye fisheye_model is_fisheye',
    'size': 'image_size img_size resolution',
    'width': 'width image_width img_width w',
    'height': 'height image_height img_height h',
    'part': 'roi binning_x binning_y',
    # These say nothing about the lens.
    'ignored': 'name camera_name camera id camera_id cam_id sensor_id token sensor_token sensor '
    'sensor_type channel serial serial_number vendor manufacturer comment description note notes '
    'date timestamp stamp seq frame frame_id header topic rostopic image_topic rate_hz fps '
    'rig2cam cam2rig lidar2cam cam2lidar cam2ego ego2cam ego2global translation rotation R T P E F '
    'rectification_matrix projection_matrix rvec tvec rvecs tvecs cam_overlaps timeshift_cam_imu '
    'img_path image_path filename file_name path version position orientation exposure gain delay '
    'fov hfov vfov lidar2img cam2global lidar2global sample_data_token '
    'has_prior_focal_length calibration_time nframes nr_of_frames square_size marker_size '
    'aspect_ratio fix_aspect_ratio flags avg_reprojection_error rms reprojection_error '
    'image_points grid_points '
    # tools/calibrate.py writes these.
    'verdict reasons parts deviation bound_90 covariance num_looks agreement num_matches '
    'num_inliers reprojection_error_px from_initial from_truth refinement own motion '
    'frames_without_a_match adjusted_covariance',
}
_MEANINGS = {_plain(key): meaning for meaning, keys in _KEYS.items() for key in keys.split()}
_SPELLED = {
    _plain(key): key
    for meaning, keys in _KEYS.items()
    if meaning != 'ignored'
    for key in keys.split()
}
_IGNORED = ('board', 'perview', 'extrinsic', 'tcam', 'tcn', 'tbs', 'timu')  # Kalibr: T_cam_imu
# Of names of a letter only with so many numbers: those of a lens may be called r, t and p, too.
_COUNTS = {'r': 9, 't': 3, 'p': 12, 'e': 9, 'f': 9}
_NESTED = ('matrix', 'distortion', 'size')  # may map names to numbers
_MODELS = {
    _plain(name): lens
    for lens, names in {
        'radtan': 'plumb_bob radtan radial_tangential rational_polynomial brown_conrady opencv '
        'full_opencv radial simple_radial',
        'fisheye': 'fisheye equidistant equi kannala_brandt kannala_brandt4 kb4 opencv_fisheye '
        'radial_fisheye simple_radial_fisheye',
        'none': 'none',
        '': 'pinhole simple_pinhole perspective',  # Kalibr: with any lens
    }.items()
    for name in names.split()
}
_COLMAP = {
    'simplepinhole': 'f cx cy',
    'pinhole': 'fx fy cx cy',
    'simpleradial': 'f cx cy k1',
    'radial': 'f cx cy k1 k2',
    'opencv': 'fx fy cx cy k1 k2 p1 p2',
    'fullopencv': 'fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6',
    'simpleradialfisheye': 'f cx cy k1',
    'radialfisheye': 'f cx cy k1 k2',
    'opencvfisheye': 'fx fy cx cy k1 k2 k3 k4',
}


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
        matrix, lens = self.cam2img, self.distortion
        skew, fy, cy = matrix[0, 1], matrix[1, 1], matrix[1, 2]
        if not skew:
            if self.fisheye:
                return cv2.fisheye.undistortImage(image, matrix, lens, Knew=matrix)
            return cv2.undistort(image, matrix, lens)
        maps = cv2.fisheye if self.fisheye else cv2
        size = image.shape[1::-1]
        u, v = maps.initUndistortRectifyMap(matrix, lens, np.eye(3), matrix, size, cv2.CV_32FC1)
        # Of the distorted image OpenCV takes fx, fy, cx, cy alone.
        u += skew / fy * (v - cy)
        return cv2.remap(image, u, v, cv2.INTER_LINEAR)


def read_intrinsics(path: str | os.PathLike) -> dict[str, Intrinsics]:
    """Read one camera or several from a JSON or YAML file.

    A camera is a 3x3 matrix (nested lists, or 9 numbers), or a mapping with

    * the camera matrix: ``cam2img``, ``camera_intrinsic`` (nuScenes), ``K``, ``camera_matrix`` (ROS
      and OpenCV, with ``data``), ``intrinsics`` (also fx, fy, cx, cy as Kalibr's); or ``fx``,
      ``fy``, ``cx``, ``cy`` and ``skew``;
    * where the lens distorts, ``distortion``, ``D``, ``distortion_coefficients``,
      ``distortion_coeffs``, ``dist_coeffs``, ...: 4, 5, 8, 12 or 14 numbers in OpenCV's order; or
      ``k1`` to ``k6``, ``p1``, ``p2``, ``s1`` to ``s4``, ``tau_x``, ``tau_y`` by name;
    * ``distortion_model``, ``camera_model`` or ``model``: ``plumb_bob``, ``radtan``,
      ``rational_polynomial``, ``fisheye``, ``equidistant``, ``none``, ...;
    * instead of these COLMAP's ``model`` and ``params``. COLMAP calls the centre of the first pixel
      (0.5, 0.5), so that 0.5 is taken off its cx and cy;
    * ``width`` and ``height``, ``image_width`` and ``image_height``, or ``resolution``
      (width, height), of the images.

    Of keys only letters and digits count, in any case. What is stated twice must agree, null states
    nothing, and a key that is not known is an error, as it may mean the lens.

    A file with several cameras maps their names to these. OpenCV's ``FileStorage`` is read too, as
    YAML, XML or JSON, in stereo with ``M1``, ``D1``, ``M2``, ``D2``; so is COLMAP's
    ``cameras.txt``. Of several YAML documents the first is read.

    Args:
        path: the file.

    Returns:
        Cameras by name; one without a name is called ``camera``, or as ROS' ``camera_name`` says.

    Raises:
        FileNotFoundError, ValueError: naming the file and what was expected.
    """
    content = _read(path)
    if isinstance(content, dict) and isinstance(content.get('cameras'), dict):  # of a rig
        content = content['cameras']
    if _is_camera(content):
        name = content.get('camera_name', 'camera') if isinstance(content, dict) else 'camera'
        return {str(name): _camera(content, str(path))}
    if not isinstance(content, dict) or not content:
        raise ValueError(
            f'{path} must hold a 3x3 camera matrix, a camera with cam2img or fx, fy, cx, cy, or '
            'several of them by name.'
        )
    cameras = {}
    for name, value in _stereo(content).items():
        if isinstance(value, dict | list):
            cameras[str(name)] = _camera(value, f'{path}, {name}')
        elif _meaning(name) != 'ignored':
            raise ValueError(
                f'{path}: {name!r} is neither a camera nor a known key of one; expected cam2img, '
                'or fx, fy, cx, cy, or several cameras by name.'
            )
    if not cameras:
        raise ValueError(f'{path} holds no camera.')
    return cameras


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
        return {'camera': _lidar2cam(content, str(path))}
    poses = {
        str(name): _lidar2cam(value, f'{path}, {name}')
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
        poses.append(_pose(camera, where, 'rig2cam', 'cam2rig'))
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
        for key in given.keys() - {'lidar', *cameras}:
            if 'stamp' not in given and re.search('time|stamp', str(key).lower()):
                raise ValueError(f"{where}: the stamp must be called 'stamp', not {key!r}.")
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


# OpenCV's FileStorage: rows, cols, dt and data.
_Plain.add_constructor('tag:yaml.org,2002:opencv-matrix', _Plain.construct_yaml_map)


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
    kind = 'XML' if path.suffix.lower() == '.xml' else 'JSON or YAML'
    try:
        text = path.read_text(encoding='utf-8-sig')
        if path.name == 'cameras.txt':
            return _of_colmap(text)
        if kind == 'XML':
            return _of_xml(ElementTree.fromstring(text))
        if path.suffix.lower() == '.json':
            return json.loads(text, object_pairs_hook=_unique)
        # OpenCV's directive is not that of YAML.
        return next(iter(yaml.load_all(text.removeprefix('%YAML:1.0'), _Plain)), None)
    # RecursionError: it is nested too deep.
    except (ValueError, yaml.YAMLError, ElementTree.ParseError, RecursionError) as error:
        reason = ' '.join(str(error).split())
        raise ValueError(f'{path} is not readable {kind}: {reason}') from error


def _of_xml(element: ElementTree.Element):
    """A value of OpenCV's FileStorage: a mapping, a text, or words, which may be numbers."""
    if len(element):
        pairs = [(part.tag, _of_xml(part)) for part in element]
        return [value for _, value in pairs] if pairs[0][0] == '_' else _unique(pairs)
    text = (element.text or '').strip()
    words = [text.strip('"')] if text.startswith('"') else text.split()
    return words[0] if len(words) == 1 else words


def _of_colmap(text: str) -> dict:
    """Lines of an id, a model, width, height and parameters."""
    rows = [line.split() for line in text.splitlines() if not line.startswith('#')]
    keys = ('model', 'width', 'height')
    return _unique([(row[0], dict(zip(keys, row[1:4]), params=row[4:])) for row in rows if row])


def _meaning(key: object) -> str | None:
    plain = _plain(key)
    ignored = plain.startswith(_IGNORED) and 'dist' not in plain
    return 'ignored' if ignored else _MEANINGS.get(plain)


def _is_camera(content) -> bool:
    if isinstance(content, dict):
        return any(_meaning(key) in ('matrix', 'params', 'fx') for key in content)
    return isinstance(content, list)


def _stereo(content: dict) -> dict:
    """Join M1 with D1 and M2 with D2 to cameras M1 and M2; other files stay as they are."""

    def ending(*meanings: str) -> dict[str, str]:
        keys = [key for key in map(str, content) if re.fullmatch(r'\D*\d', key)]
        return {k[-1]: k for k in keys if (_meaning(k[:-1]) or k[:-1].lower()) in meanings}

    matrices, lenses = ending('matrix', 'm'), ending('distortion')
    pairs = {matrices[digit]: lenses[digit] for digit in matrices.keys() & lenses.keys()}
    if not pairs:
        return content
    rectified = {'R1', 'R2', 'P1', 'P2', 'Q'}  # what cv2.stereoRectify gives
    apart = {*matrices.values(), *pairs.values(), *rectified}
    shared = {key: value for key, value in content.items() if key not in apart}
    return {
        key: dict(shared, K=content[key], D=content.get(pairs.get(key)))
        for key in content
        if key in matrices.values()
    }


def _statements(given: Mapping, where: str, within: str = '') -> dict[str, list]:
    """What a mapping says, (key, value), by its meaning; '' has the keys that are not known."""
    found: dict[str, list] = defaultdict(list)
    for key, value in given.items():
        meaning, label = _meaning(key) or '', f'{within}{key}'
        if meaning in _NESTED and isinstance(value, dict) and not (_is_array(value) or within):
            for inner, statements in _statements(value, where, f'{label}.').items():
                found[inner] += statements
        elif value is not None:
            count = _COUNTS.get(_plain(key))
            if count and _numbers(value, f'{where}: {label}').size != count:
                meaning = ''
            found[meaning].append((label, value))
    return found


def _camera(content, where: str) -> Intrinsics:
    bare = not isinstance(content, dict) or _is_array(content)
    found = _statements({'cam2img': content} if bare else content, where)
    known, unknown = found.keys() - {'', 'ignored'}, found.pop('', [])
    lens = _lens(found, where)
    if known and unknown:
        key = unknown[0][0]
        near = difflib.get_close_matches(_plain(key.split('.')[-1]), _SPELLED, 1, 0.75)
        hint = f', but {_SPELLED[near[0]]!r} is' if near else ''
        raise ValueError(f'{where}: {key!r} is not a known key of a camera{hint}.')

    stated: dict[str, tuple[str, float]] = {}

    def state(names: Sequence[str], numbers, label: str) -> None:
        for name, number in zip(names, numbers):
            first, value = stated.setdefault(name, (label, float(number)))
            if not np.isclose(value, number, rtol=1e-5, atol=1e-9):
                raise ValueError(
                    f'{where}: {first} and {label} disagree about {name}: {value:g} and {number:g}.'
                )

    for name in ('fx', 'fy', 'cx', 'cy', 'skew', *_RADTAN, 'width', 'height'):
        for label, value in found[name]:
            state([name], [_number(value, f'{where}: {label}')], label)
    given = [name for name in _RADTAN if name in stated]
    for label, value in found['size']:
        state(('width', 'height'), _vector(value, f'{where}: {label}', (2,)), label)
    for label, value in found['params']:
        names = _COLMAP.get(_plain(next((model for _, model in found['model']), '')))
        if names is None:
            raise ValueError(f"{where}: {label} need one of COLMAP's models beside them.")
        named = dict(zip(names.split(), _vector(value, f'{where}: {label}', (len(names.split()),))))
        if 'f' in named:
            named['fx'] = named['fy'] = named.pop('f')
        named.update(cx=named['cx'] - 0.5, cy=named['cy'] - 0.5)
        state(list(named), named.values(), label)
        given += [name for name in named if name in _RADTAN]
    for label, value in found['matrix']:
        matrix = _numbers(value, f'{where}: {label}')
        if matrix.shape == (4,) and _plain(label).startswith('intrinsic'):  # Kalibr
            state(('fx', 'fy', 'cx', 'cy'), matrix, label)
            continue
        if matrix.size != 9:
            raise ValueError(f'{where}: {label} must be 3x3, got {matrix.size} numbers.')
        matrix = check_intrinsics(matrix.reshape(3, 3), f'{where}: the camera matrix')
        state(('fx', 'skew', 'cx', 'fy', 'cy'), matrix[[0, 0, 0, 1, 1], [0, 1, 2, 1, 2]], label)
    lacking = [name for name in ('fx', 'fy', 'cx', 'cy') if name not in stated]
    if lacking:
        raise ValueError(
            f'{where} has neither a camera matrix (cam2img) nor all of fx, fy, cx, cy: '
            f'{lacking[0]} is missing.'
        )

    if not lens and given[-1:] == ['k4'] and not {'p1', 'p2'} & {*given}:
        raise ValueError(f'{where}: k1 to k4 without p1 and p2 need a distortion_model.')
    names, lengths = _LENSES.get(lens, _LENSES['radtan'])
    number = max((names.index(name) + 1 for name in given if name in names), default=0)
    for label, value in found['distortion']:
        vector = _numbers(value, f'{where}: {label}').ravel()
        if len(vector) and (vector.any() or lens == 'fisheye'):
            _vector(vector, f'{where}: {label} ({lens or "radtan"})', lengths)
            number = max(number, len(vector))
        if len(vector):  # ROS: no numbers where nothing was calibrated
            state(names, [*vector, *[0] * 14], label)

    def value(name: str) -> float:
        return stated.get(name, ('', 0.0))[1]

    odd = [name for name in _RADTAN if value(name) and (lens == 'none' or name not in names)]
    if odd:
        raise ValueError(f'{where}: {stated[odd[0]][0]} is not 0, but the lens is {lens}.')
    number = next(length for length in lengths if length >= number)
    distortion = np.array([value(name) for name in names[:number]])
    if lens != 'fisheye' and not distortion.any():
        distortion = np.zeros(0)
    matrix = np.array(
        [[value('fx'), value('skew'), value('cx')], [0, value('fy'), value('cy')], [0, 0, 1]]
    )
    check_intrinsics(matrix, f'{where}: the camera matrix')
    # ROS leaves them 0 where they are not known.
    size = int(value('width')), int(value('height'))
    _check_whole(found['part'], size, where)
    return Intrinsics(matrix, distortion, lens == 'fisheye', size if min(size) > 0 else None)


def _lens(found: Mapping[str, list], where: str) -> str:
    """The model of the lens that is stated: radtan, fisheye or none; '' without."""
    models = found['model'] + [
        (label, 'fisheye')
        for label, value in found['fisheye']
        if _number(value, f'{where}: {label}')
    ]
    lenses = {}
    distorted = any(
        _numbers(value, f'{where}: {label}').any()
        for name in ('distortion', 'params', *_RADTAN)
        for label, value in found[name]
    )
    for label, model in models:
        # Without a distortion `model` and `type` may name the device.
        of_lens = distorted or re.search('distortion|projection', _plain(label))
        if model and of_lens and _plain(model) not in _MODELS:
            raise ValueError(
                f'{where}: {label} must be plumb_bob, radtan, rational_polynomial, fisheye, '
                "equidistant, none or another name of OpenCV's two models, got "
                f'{reprlib.repr(model)}.'
            )
        lenses[_MODELS.get(_plain(model), '')] = f'{label}: {model}'
    lenses.pop('', None)
    if len(lenses) > 1:
        raise ValueError(f'{where}: {" and ".join(lenses.values())} disagree about the lens.')
    return next(iter(lenses), '')


def _check_whole(parts: list, size: tuple[int, int], where: str) -> None:
    """ROS' K is for the whole image at full resolution, whatever part of it is published."""
    for label, value in parts:
        if isinstance(value, dict):
            cut = [value.get(key) for key in ('x_offset', 'y_offset')]
            cut += [
                n for n, full in zip((value.get('width'), value.get('height')), size) if n != full
            ]
        else:
            cut = [number > 1 for number in _numbers(value, f'{where}: {label}').ravel()]
        if any(cut):
            raise ValueError(
                f'{where}: {label} says that the images are a part of what the intrinsics are for; '
                'give the intrinsics of the images themselves, without roi and binning.'
            )


def _vector(values, where: str, lengths: Sequence[int]) -> np.ndarray:
    vector = _numbers(values, where).ravel()
    if len(vector) not in lengths:
        raise ValueError(
            f'{where} must hold {" or ".join(map(str, lengths))} numbers, got {len(vector)}.'
        )
    return vector


def _lidar2cam(content, where: str) -> np.ndarray:
    if isinstance(content, dict) and not _is_array(content):
        return _pose(content, where, 'lidar2cam', 'cam2lidar')
    return _matrix(content, where)


def _pose(content, where: str, key: str, inverse: str) -> np.ndarray:
    """The pose of a mapping that has it, its inverse, or both, which then agree."""
    given = content if isinstance(content, dict) else {}
    poses = [_matrix(given[k], f'{where}: {k}') for k in (key, inverse) if given.get(k) is not None]
    if not poses:
        raise ValueError(f'{where} has neither {key} nor {inverse}.')
    if given.get(key) is None:
        return np.linalg.inv(poses[0])
    if len(poses) > 1 and not np.allclose(poses[0] @ poses[1], np.eye(4), atol=1e-2):
        raise ValueError(f'{where}: {inverse} is not the inverse of {key}.')
    return poses[0]


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


def _is_array(values) -> bool:
    """Whether it is a matrix as ROS and OpenCV write it."""
    keys = {'rows', 'cols', 'dt', 'type_id', 'data'}
    return isinstance(values, dict) and 'data' in values and values.keys() <= keys


def _numbers(values, where: str) -> np.ndarray:
    shape = None
    if _is_array(values):
        shape, values = (values.get('rows'), values.get('cols')), values['data']
    try:
        if values is None:
            raise TypeError
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f'{where} must hold numbers, got {reprlib.repr(values)}.') from error
    if not np.isfinite(numbers).all():
        raise ValueError(f'{where} holds numbers that are not finite: {reprlib.repr(values)}.')
    fits = shape and None not in shape and numbers.size == np.prod(np.array(shape, dtype=float))
    return numbers.reshape([int(n) for n in shape]) if fits else numbers
