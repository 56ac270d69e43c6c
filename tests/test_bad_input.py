"""What a training does with data that is not as it should be: a table of cases.

Each case spoils a small rig and then loads and trains: it ends either in one error that says what
is wrong, or in a step after which all weights are finite. Cases of the first kind say which message
they expect; nothing else may be raised.
"""

import copy
import itertools
import json
import math
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdet3d.registry import DATASETS
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from scipy.spatial.transform import Rotation

import nclr_mm  # noqa: F401 (registers the components)
from tests.models.test_nclr import small_model

WIDTH, HEIGHT = 96, 64
K = [[50.0, 0, 47.5], [0, 50, 31.5], [0, 0, 1]]
FORWARD = [[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
BACKWARD = (np.array(FORWARD) @ np.diag([-1.0, -1, 1, 1])).tolist()
RANGE = [-51.2, -51.2, -51.2, 51.2, 51.2, 51.2]
CAMERAS = ('front', 'back')
VALUES = dict(nan=math.nan, inf=math.inf, minus_inf=-math.inf)


class Rig:
    """Two samples of a scan and two images each, to be spoilt and then written."""

    def __init__(self):
        rng = np.random.default_rng(0)
        scale = np.array([20, 20, 2, 1])
        self.scans = [
            (rng.uniform([-1, -1, -1, 0], 1, (200, 4)) * scale).astype(np.float32) for _ in range(2)
        ]
        self.images = [
            {name: rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8) for name in CAMERAS}
            for _ in range(2)
        ]
        self.info = dict(metainfo={}, data_list=[self._entry(i) for i in range(2)])

    def _entry(self, index):
        images = {
            name: dict(
                img_path=f'{name}{index}.png',
                width=WIDTH,
                height=HEIGHT,
                cam2img=copy.deepcopy(K),
                lidar2cam=copy.deepcopy(pose),
            )
            for name, pose in zip(CAMERAS, (FORWARD, BACKWARD))
        }
        return dict(
            sample_idx=index, lidar_points=dict(lidar_path=f'scan{index}.bin'), images=images
        )

    def camera(self, sample=1, name='front'):
        return self.info['data_list'][sample]['images'][name]

    def write(self, folder):
        for index, (scan, images) in enumerate(zip(self.scans, self.images)):
            if scan is not None:
                content = scan if isinstance(scan, bytes) else scan.astype(np.float32).tobytes()
                (folder / f'scan{index}.bin').write_bytes(content)
            for name, image in images.items():
                path = folder / f'{name}{index}.png'
                if isinstance(image, bytes):
                    path.write_bytes(image)
                elif image is not None:
                    assert cv2.imwrite(str(path), image)
        # NaN and Infinity are what Python's own JSON writes and reads.
        (folder / 'infos.json').write_text(json.dumps(self.info))


PIPELINE = [
    dict(type='LoadLidarPoints', load_dim=4, use_dim=4),
    dict(type='LoadCalibratedImages'),
    dict(type='RandomFlipImages', prob=0.5),
    dict(type='RigidPerturbation'),
    dict(type='PointsRangeFilter', point_cloud_range=RANGE),
    dict(type='PackCalibrationInputs', keys=['points', 'img'],
         meta_keys=['sample_idx', 'lidar_path', 'cam2img', 'lidar2cam']),
]  # fmt: skip


def load(folder, **options):
    config = dict(
        type='CalibrationDataset', ann_file='infos.json', data_root=f'{folder}', pipeline=PIPELINE
    )
    dataset = DATASETS.build({**config, **options})
    return [dataset[i] for i in range(len(dataset))]


@pytest.fixture(scope='module', autouse=True)
def default_scope():
    init_default_scope('mmdet3d')


@pytest.fixture(scope='module')
def trained(default_scope):
    torch.manual_seed(0)
    return ready(small_model(with_pose_loss=True, keypoints=dict(thresholds=(0.0,))))


def ready(model):
    """A model in training, its optimiser, and the weights and statistics that it begins with."""
    weights = [p for p in model.train().parameters() if p.requires_grad]
    optimiser = OptimWrapper(torch.optim.AdamW(weights, lr=1e-3), clip_grad=dict(max_norm=10.0))
    return model, optimiser, copy.deepcopy(model.state_dict())


def step(trained, samples):
    """Train on samples; weights and statistics are those of the beginning before, finite after."""
    model, optimiser, begin = trained
    model.load_state_dict(begin)
    losses = model.train_step(pseudo_collate(samples), optimiser)
    assert all(torch.as_tensor(value).isfinite().all() for value in losses.values())
    end = model.state_dict()
    assert all(value.isfinite().all() for value in end.values())
    assert any((end[name] != begin[name]).any() for name, _ in model.named_parameters())
    return losses


def test_the_rig_trains(trained, tmp_path):
    Rig().write(tmp_path)
    assert step(trained, load(tmp_path))['num_pairs'] > 0


# ---------------------------------------------------------------- the table

CASES = {}
SLOW = set()


def case(name, message=None, slow=False):
    """A way to spoil the rig; ``message``: of the error that it must end in, None: it trains."""

    def register(spoil):
        assert name not in CASES
        CASES[name] = spoil, message
        if slow:
            SLOW.add(name)
        return spoil

    return register


def set_points(rows, column, value):
    def spoil(rig):
        rig.scans[1][rows, column] = value

    return spoil


ROWS = dict(one_point=slice(7, 8), half=slice(0, 100), all=slice(None))
for (rows_name, rows), (column, column_name), (value_name, value) in itertools.product(
    ROWS.items(), enumerate('xyzi'), VALUES.items()
):
    case(
        f'{column_name} of {rows_name} is {value_name}',
        r'scan1.bin: the intensity, .* of \d+ points is not finite' if column == 3 else None,
        slow=column < 3 and rows_name != 'half',
    )(set_points(rows, column, value))
    if column < 3:
        far = dict(nan=1e5, inf=3e38, minus_inf=-60.0)[value_name]
        case(f'{column_name} of {rows_name} is {far}', slow=rows_name != 'half')(
            set_points(rows, column, far)
        )
    else:
        large = dict(nan=3e38, inf=-2e6, minus_inf=1e7)[value_name]
        case(f'i of {rows_name} is {large}', 'Intensities .* must be at most 1000000')(
            set_points(rows, column, large)
        )
for value in (0.0, 1.0, 255.0, 65535.0, -1.0, 1e-38):
    case(f'all intensities are {value}')(set_points(slice(None), 3, value))

SCANS = {
    'no point': (b'', 'scan1.bin is truncated: 0 bytes'),
    'one point': (np.array([[5.0, 1, 0, 0.5]]), None),
    'one point behind': (np.array([[-5.0, 1, 0, 0.5]]), None),
    'all points are one': (np.full((300, 4), 5.0), None),
    'all points out of range': (np.full((300, 4), 500.0), None),
    'all points above the cameras': (np.tile([0.1, 0.1, 30, 0.5], (300, 1)), None),
    'all points at the origin': (np.zeros((300, 4)), None),
    'points on a line': (np.linspace([1, 0, 0, 0], [40, 0, 0, 1], 200), None),
    'points on a wall': (
        np.c_[np.full(400, 9.0), np.random.default_rng(1).uniform(-3, 3, (400, 3))],
        None,
    ),
    'a million points': (
        np.random.default_rng(2).uniform(-1, 1, (1_000_000, 4)) * [15, 15, 0.5, 1],
        None,
    ),
    'cut in a point': (np.zeros((10, 4), np.float32).tobytes()[:-3], 'scan1.bin is truncated: 157'),
    'five numbers a point': (np.zeros((3, 5), np.float32).tobytes(), 'scan1.bin is truncated: 60'),
    'text': (b'0.1 0.2 0.3 0.4\n' * 4 + b'!', 'scan1.bin is truncated'),
    'missing': (None, 'scan1.bin'),
}
for name, (scan, message) in SCANS.items():

    @case(f'scan: {name}', message)
    def _(rig, scan=scan):
        rig.scans[1] = scan

    @case(f'all scans: {name}', message and message.replace('scan1', 'scan0'), slow=not message)
    def _(rig, scan=scan):
        rig.scans = [scan, scan]


# Matrices.


def entries(size):
    return list(itertools.product(range(size), range(size)))


for key, size in (('cam2img', 3), ('lidar2cam', 4)):
    for (row, column), (value_name, value) in itertools.product(entries(size), VALUES.items()):

        @case(
            f'{key}[{row}][{column}] is {value_name}',
            f'{key} of sample 1, front holds numbers that are not finite',
        )
        def _(rig, key=key, row=row, column=column, value=value):
            rig.camera()[key][row][column] = value

    for what, value, message in (
        ('null', None, f'the {key} is unfit|must be|not a'),
        ('text', 'none', f'the {key} is unfit'),
        ('a number', 1.0, f'{key}.* must be {size}x{size}'),
        ('empty', [], f'{key}.* must be {size}x{size}'),
        ('of two rows', [[1.0, 0], [0, 1]], f'{key}.* must be {size}x{size}'),
        ('ragged', [[1.0, 0], [0]], f'the {key} is unfit'),
        ('zero', np.zeros((size, size)).tolist(), f'{key} of sample 1, front is not a'),
        ('flat', np.eye(size).ravel().tolist(), f'{key}.* must be {size}x{size}'),
    ):

        @case(f'{key} is {what}', message)
        def _(rig, key=key, value=value):
            rig.camera()[key] = value

    @case(f'{key} is missing', f"front, lacks the field '{key}'")
    def _(rig, key=key):
        del rig.camera()[key]


def pose(turn=None, shift=(0.0, 0, 0), scale=1.0):
    matrix = np.array(FORWARD)
    if turn is not None:
        matrix[:3, :3] = matrix[:3, :3] @ turn
    matrix[:3, :3] *= scale
    matrix[:3, 3] = shift
    return matrix.tolist()


def matrix_cases(key, name, name_of_all, matrix, message):
    """A matrix of one camera, and, where it trains, of all cameras of all samples."""

    @case(name, message)
    def _(rig):
        rig.camera()[key] = matrix

    if message is None:

        @case(name_of_all, slow=True)
        def _(rig):
            for sample, camera in itertools.product(range(2), CAMERAS):
                rig.camera(sample, camera)[key] = matrix


for name, matrix, message in (
    ('mirrored', pose(np.diag([1.0, -1, 1])), 'not a rigid motion'),
    ('scaled', pose(scale=1.01), 'not a rigid motion'),
    ('in millimetres', pose(scale=1000), 'not a rigid motion'),
    ('sheared', pose(np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]])), 'not a rigid motion'),
    ('with a last row of zeros', [*pose()[:3], [0.0] * 4], 'not a rigid motion'),
    ('rounded', np.round(pose(Rotation.random(random_state=0).as_matrix()), 4).tolist(), None),
    ('upside down', pose(np.diag([1.0, -1, -1])), None),
    ('looking up', pose(Rotation.from_euler('y', -np.pi / 2).as_matrix()), None),
    ('a kilometre off', pose(shift=(0.0, 0, 1000)), None),
    ('a kilometre behind', pose(shift=(0.0, 0, -1000)), None),
    ('inside a wall of points', pose(shift=(-10.0, 0, -10)), None),
):  # fmt: skip
    matrix_cases('lidar2cam', f'pose {name}', f'all poses {name}', matrix, message)


for name, matrix, message in (
    ('negative focal length', [[-50.0, 0, 47], [0, 50, 31], [0, 0, 1]], 'not a camera matrix'),
    ('focal length zero', [[0.0, 0, 47], [0, 50, 31], [0, 0, 1]], 'not a camera matrix'),
    ('transposed', np.transpose(K).tolist(), 'not a camera matrix'),
    ('scaled', (2 * np.array(K)).tolist(), 'not a camera matrix'),
    ('of 3x4', np.c_[K, [0, 0, 0]].tolist(), 'cam2img.* must be 3x3'),
    ('of 4x4', np.eye(4).tolist(), 'cam2img.* must be 3x3'),
    ('a needle of a view', [[1e6, 0, 47], [0, 1e6, 31], [0, 0, 1]], None),
    ('all round', [[1e-3, 0, 47], [0, 1e-3, 31], [0, 0, 1]], None),
    ('centre outside', [[50.0, 0, 1e4], [0, 50, -1e4], [0, 0, 1]], None),
    ('skewed', [[50.0, 5, 47], [0, 50, 31], [0, 0, 1]], None),
):
    matrix_cases('cam2img', f'intrinsics: {name}', f'all intrinsics: {name}', matrix, message)


# Images.


def encoded(image, suffix='.png', parameters=()):
    return cv2.imencode(suffix, image, list(parameters))[1].tobytes()


def png_header(width, height):
    """A PNG that says it is of a size, and holds nothing."""

    def chunk(kind, content):
        return (
            struct.pack('>I', len(content))
            + kind
            + content
            + struct.pack('>I', zlib.crc32(kind + content))
        )

    head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return (
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', head)
        + chunk(b'IDAT', zlib.compress(b''))
        + chunk(b'IEND', b'')
    )


NOISE = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
IMAGES = {
    'grey': (NOISE[..., 0], None),
    'with alpha': (np.dstack([NOISE, NOISE[..., :1]]), None),
    'of 16 bits': (NOISE.astype(np.uint16) * 257, None),
    'grey of 16 bits': (NOISE[..., 0].astype(np.uint16) * 257, None),
    'black': (np.zeros_like(NOISE), None),
    'white': (np.full_like(NOISE, 255), None),
    'a JPEG by another name': (encoded(NOISE, '.jpg'), None),
    'a BMP by another name': (encoded(NOISE, '.bmp'), None),
    'of one pixel': (NOISE[:1, :1], 'front1.png is 1x1, but its calibration is for 96x64'),
    'turned': (NOISE.transpose(1, 0, 2), 'front1.png is 64x96'),
    'larger': (np.zeros((128, 192, 3), np.uint8), 'front1.png is 192x128'),
    'one row short': (NOISE[:-1], 'front1.png is 96x63'),
    'empty': (b'', 'front1.png is not a readable image'),
    'text': (b'no image', 'front1.png is not a readable image'),
    'a PNG cut in its header': (encoded(NOISE)[:20], 'front1.png is not a readable image'),
    'a PNG cut in its body': (encoded(NOISE)[:-2000], 'front1.png is not a readable image'),
    'a JPEG cut in its body': (encoded(NOISE, '.jpg')[:-500], 'front1.png is not a readable'),
    'a BMP cut in its body': (encoded(NOISE, '.bmp')[:-500], 'front1.png is not a readable'),
    'a JPEG cut in its header': (encoded(NOISE, '.jpg')[:100], 'front1.png is not a readable'),
    'a bomb': (png_header(2**31 - 1, 2**31 - 1), 'front1.png is too large'),
    'a bomb of 65535x65535': (png_header(65535, 65535), 'front1.png is too large'),
    'a bomb of 8193x8192': (png_header(8193, 8192), 'front1.png is too large'),
    'missing': (None, 'The image .*front1.png does not exist'),
}
for name, (image, message) in IMAGES.items():

    @case(f'image: {name}', message)
    def _(rig, image=image):
        rig.images[1]['front'] = image

    if message is None:

        @case(f'all images: {name}', slow=True)
        def _(rig, image=image):
            rig.images = [dict.fromkeys(CAMERAS, image) for _ in range(2)]


def other_size(rig, names=CAMERAS):
    for name in names:
        rig.images[1][name] = np.zeros((96, 128, 3), np.uint8)
        rig.camera(name=name).update(width=128, height=96)


case('another image size in one sample', 'the same number of cameras and the same image size')(
    other_size
)


@case(
    'another image size of one camera',
    'must have one size, but are front 96x64, back 128x96; Resize',
)
def _(rig):
    other_size(rig, ('back',))


@case('a camera missing in one sample', 'the sample 1 has no camera front; it has back')
def _(rig):
    del rig.info['data_list'][1]['images']['front']


@case('no camera at all', 'the sample 1 has no camera front; it has none')
def _(rig):
    rig.info['data_list'][1]['images'] = {}


# Info files.

FIELDS = ('sample_idx', 'lidar_points', 'images')
for field in FIELDS:

    @case(f'{field} missing', f"lacks the field '{field}'")
    def _(rig, field=field):
        del rig.info['data_list'][1][field]


for field, value in itertools.product(FIELDS[1:], (None, 3, 'text')):

    @case(f'{field} is {value!r}', r"must have the dicts 'lidar_points' and 'images'")
    def _(rig, field=field, value=value):
        rig.info['data_list'][1][field] = value


for value in (None, 3, 'text', []):

    @case(f'a sample is {value!r}', 'a sample must be a dict')
    def _(rig, value=value):
        rig.info['data_list'][1] = value

    @case(f'a camera is {value!r}', 'front')
    def _(rig, value=value):
        rig.info['data_list'][1]['images']['front'] = value


for field in ('width', 'height'):
    for value in (None, 'wide', 1.5, [], math.nan):

        @case(f'{field} is {value!r}', f'front: the {field} is unfit')
        def _(rig, field=field, value=value):
            rig.camera()[field] = value

    for value in (0, -1, 10**9):

        @case(f'{field} is {value}', 'front1.png is 96x64, but its calibration is for')
        def _(rig, field=field, value=value):
            rig.camera()[field] = value


for path in ('/etc/passwd', '../scan.bin', 'http://example.com/scan.bin', 'a/../../scan.bin'):

    @case(f'scan at {path}', 'leads out of')
    def _(rig, path=path):
        rig.info['data_list'][1]['lidar_points']['lidar_path'] = path

    @case(f'image at {path}', 'leads out of')
    def _(rig, path=path):
        rig.camera()['img_path'] = path


for name, info, message in (
    ('a list', [], "must hold a dict with the dict 'metainfo' and the list 'data_list'"),
    ('without samples', dict(metainfo={}, data_list=[]), 'lists no sample'),
    ('without metainfo', dict(data_list=[]), "must hold a dict with the dict 'metainfo'"),
    ('null', None, "must hold a dict with the dict 'metainfo'"),
):

    @case(f'info file: {name}', message)
    def _(rig, info=info):
        rig.info = info


def seldom(name: str, index: int) -> bool:
    """Whether a case is slow; every other one that trains is, for a second each."""
    return name in SLOW or (CASES[name][1] is None and index % 2 > 0)


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[pytest.mark.slow] * seldom(name, index), id=name)
        for index, name in enumerate(CASES)
    ],
)
def test_case(name, trained, tmp_path):
    spoil, message = CASES[name]
    rig = Rig()
    spoil(rig)
    rig.write(tmp_path)
    if message is None:
        samples = load(tmp_path)
        for sample, scan in zip(samples, rig.scans, strict=True):
            measured = np.isfinite(scan.astype(np.float32)[:, :3]).all(axis=1)
            assert sample['data_samples'].num_unmeasured_points == (~measured).sum()
        step(trained, samples)
        return
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        step(trained, load(tmp_path))
    assert '\n' not in str(error.value)


def test_there_are_enough_cases():
    assert len(CASES) >= 300


# ---------------------------------------------------------------- drawn at random

numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)
coordinates = st.one_of(st.floats(-60, 60, width=32), numbers)


def trains_on_anything(trained, folders, examples):
    """Train on so many drawn rigs, the same in each run."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(
        points=st.lists(
            st.tuples(coordinates, coordinates, coordinates, st.floats(-1e6, 1e6, width=32)),
            min_size=1,
            max_size=30,
        ),
        angles=st.tuples(*[st.floats(-7, 7)] * 3),
        shift=st.tuples(*[st.floats(-1e4, 1e4)] * 3),
        focal=st.floats(1e-3, 1e6),
        centre=st.tuples(*[st.floats(-1e4, 1e4)] * 2),
    )
    def train(points, angles, shift, focal, centre):
        rig = Rig()
        rig.scans[1] = np.array(points, np.float32)
        rig.camera()['lidar2cam'] = pose(Rotation.from_euler('xyz', angles).as_matrix(), shift)
        rig.camera()['cam2img'] = [[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]]
        folder = folders.mktemp('rig')
        rig.write(folder)
        step(trained, load(folder))

    train()


def test_any_points_poses_and_cameras_train(trained, tmp_path_factory):
    trains_on_anything(trained, tmp_path_factory, 10)


@pytest.mark.slow
def test_many_points_poses_and_cameras_train(trained, tmp_path_factory):
    trains_on_anything(trained, tmp_path_factory, 300)
