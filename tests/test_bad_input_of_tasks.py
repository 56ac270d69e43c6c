"""What fine-tuning, and pretraining of SECOND's network, do with data that is not as it should be.

As the table of `test_bad_input.py`, with the pipelines and models of the small configs.
"""

import itertools
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet3d.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.datasets.samplers import Draw
from tests import test_bad_input as pretraining
from tests.models import test_voxelnet
from tests.test_bad_input import ready, step

CONFIGS = Path(__file__).parents[1] / 'configs'
SEGMENTATION = {
    'segmentation': 'semseg/minkunet-small_spconv_1xb2-1000i_sim-streets.py',
    'panoptic': 'panoptic/minkunet-small_spconv_1xb2-1000i_sim-streets.py',
}
DETECTION = {
    'SECOND': 'det3d/second-small_1xb1-600i_sim-kitti-3d-3class.py',
    'PV-RCNN': 'det3d/pv-rcnn-small_1xb1-600i_sim-kitti-3d-3class.py',
}
VALUES = pretraining.VALUES


@pytest.fixture(autouse=True, scope='module')
def scope():
    init_default_scope('mmdet3d')


class Labelled:
    """Two scans with a raw label for each point, to be spoilt and then written."""

    def __init__(self, task):
        self.task = task
        rng = np.random.default_rng(0)
        scale = np.array([20, 20, 2, 1])
        self.scans = [
            (rng.uniform([-1, -1, -1, 0], 1, (300, 4)) * scale).astype(np.float32) for _ in range(2)
        ]
        # Road, a building, and two cars.
        raw = np.repeat([40, 50, 10 + (1 << 16), 10 + (2 << 16)], 75).astype('<u4')
        self.labels = [raw, raw]
        self.entries = [
            dict(
                sample_idx=f'{i}',
                scene='a',
                lidar_points=dict(lidar_path=f'scan{i}.bin'),
                pts_semantic_mask_path=f'scan{i}.label',
                pts_panoptic_mask_path=f'scan{i}.label',
            )
            for i in range(2)
        ]

    def load(self, folder):
        for index, files in enumerate(zip(self.scans, self.labels, strict=True)):
            for content, ending in zip(files, ('bin', 'label'), strict=True):
                if content is not None:
                    content = content if isinstance(content, bytes) else content.tobytes()
                    (folder / f'scan{index}.{ending}').write_bytes(content)
        infos = dict(metainfo={}, data_list=self.entries)
        (folder / 'infos.json').write_text(json.dumps(infos))
        cfg = Config.fromfile(CONFIGS / SEGMENTATION[self.task]).train_dataloader.dataset
        prefix = dict(pts='', pts_semantic_mask='', pts_panoptic_mask='')
        cfg.update(data_root=f'{folder}', ann_file='infos.json', data_prefix=prefix)
        return draw(cfg)


class Boxes:
    """Two scans with a car each, and a database of one more."""

    def __init__(self, task):
        self.task = task
        rng = np.random.default_rng(0)
        self.scans = [
            rng.uniform([1, -20, -2, 0], [40, 20, 0.5, 1], (300, 4)).astype(np.float32)
            for _ in range(2)
        ]
        self.object = rng.uniform([-1.5, -0.7, 0, 0], [1.5, 0.7, 1.4, 1], (30, 4))
        self.car = dict(
            name='Car',
            path='object.bin',
            image_idx=0,
            gt_idx=0,
            box3d_lidar=np.array([30, -8, -1.7, 4, 1.7, 1.5, 0], np.float32),
            num_points_in_gt=30,
            difficulty=0,
            group_id=0,
            score=0.0,
        )
        self.objects = dict(Car=[self.car])
        to_camera = [[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
        self.entries = [
            dict(
                sample_idx=i,
                images=dict(
                    CAM2=dict(
                        img_path=f'{i}.png',
                        cam2img=np.eye(4).tolist(),
                        lidar2cam=to_camera,
                        lidar2img=to_camera,
                        width=1242,
                        height=375,
                    )
                ),
                lidar_points=dict(lidar_path=f'scan{i}.bin', num_pts_feats=4),
                instances=[self._car(20.0, 2.0 * i)],
            )
            for i in range(2)
        ]

    @staticmethod
    def _car(ahead, right):
        return dict(
            bbox=[100.0, 100, 200, 200],
            bbox_label=2,
            bbox_3d=[right, 1.6, ahead, 4, 1.5, 1.7, 0],
            bbox_label_3d=2,
            depth=ahead,
            center_2d=[150.0, 150],
            num_lidar_pts=50,
            difficulty=0,
            truncated=0.0,
            occluded=0,
            alpha=0.0,
            score=0.0,
            index=0,
            group_id=0,
        )

    def load(self, folder):
        for index, scan in enumerate(self.scans):
            if scan is not None:
                content = scan if isinstance(scan, bytes) else scan.astype(np.float32).tobytes()
                (folder / f'scan{index}.bin').write_bytes(content)
        content = self.object
        content = content if isinstance(content, bytes) else content.astype(np.float32).tobytes()
        (folder / 'object.bin').write_bytes(content)
        objects = self.objects
        if not isinstance(objects, bytes):
            objects = pickle.dumps(objects)
        (folder / 'objects.pkl').write_bytes(objects)
        metainfo = dict(
            dataset='kitti',
            info_version='1.1',
            categories=dict(Pedestrian=0, Cyclist=1, Car=2, DontCare=-1),
        )
        infos = dict(metainfo=metainfo, data_list=self.entries)
        (folder / 'infos.json').write_text(json.dumps(infos))
        cfg = Config.fromfile(CONFIGS / DETECTION[self.task]).train_dataloader.dataset
        cfg.update(data_root=f'{folder}', ann_file='infos.json', data_prefix=dict(pts=''))
        (sampling,) = [stage for stage in cfg.pipeline if stage.type == 'ObjectSample']
        sampling.db_sampler.update(data_root=f'{folder}', info_path=f'{folder}/objects.pkl')
        return draw(cfg)


def draw(cfg):
    dataset = DATASETS.build(cfg)
    return [dataset[Draw(i, (0, i))] for i in range(2)]


KINDS = dict.fromkeys(SEGMENTATION, Labelled) | dict.fromkeys(DETECTION, Boxes)


@pytest.fixture(scope='module')
def trained(scope):
    """A function that gives the model of a task, and what `step` needs of it."""
    models = {}

    def of(task):
        if task not in models:
            cfg = Config.fromfile(CONFIGS / {**SEGMENTATION, **DETECTION}[task]).model
            torch.manual_seed(0)
            models[task] = ready(MODELS.build(cfg))
        torch.manual_seed(0)
        return models[task]

    return of


# ---------------------------------------------------------------- the table

CASES = {}


def case(tasks, name, message=None, slow=False):
    """A way to spoil the data of tasks; ``message``: of the error, None: it trains."""

    def register(spoil):
        for task in tasks:
            key = f'{task}: {name}'
            assert key not in CASES
            # PV-RCNN shares all but its second stage with SECOND; both take seconds to train.
            takes_long = message is None and not name.startswith('all scans')
            seldom = slow or task == 'PV-RCNN' or (task == 'SECOND' and takes_long)
            CASES[key] = task, spoil, message, seldom
        return spoil

    return register


def set_points(rows, column, value):
    def spoil(data):
        data.scans[1][rows, column] = value

    return spoil


for (rows_name, rows), (column, column_name), (value_name, value) in itertools.product(
    pretraining.ROWS.items(), enumerate('xyzi'), VALUES.items()
):
    name = f'{column_name} of {rows_name} is {value_name}'
    if column == 3:
        message = r'scan1.bin: the intensity, .* of \d+ points is not finite'
        case(KINDS, name, message)(set_points(rows, column, value))
        large = dict(nan=3e38, inf=-2e6, minus_inf=1e7)[value_name]
        case(KINDS, f'i of {rows_name} is {large}', 'Intensities .* must be at most 1000000')(
            set_points(rows, column, large)
        )
    else:
        case(KINDS, name, slow=rows_name == 'one_point')(set_points(rows, column, value))
        far = dict(nan=1e5, inf=3e38, minus_inf=-60.0)[value_name]
        case(KINDS, f'{column_name} of {rows_name} is {far}', slow=rows_name != 'all')(
            set_points(rows, column, far)
        )

SCANS = {
    name: content
    for name, (content, _) in pretraining.SCANS.items()
    if isinstance(content, np.ndarray)
}
for name, scan in SCANS.items():
    for which in ('scan', 'all scans'):

        @case(KINDS, f'{which}: {name}', slow=name.startswith('a million'))
        def _(data, scan=scan, which=which):
            indices = (1,) if which == 'scan' else (0, 1)
            for index in indices:
                data.scans[index] = scan.astype(np.float32)
                if isinstance(data, Labelled):
                    data.labels[index] = np.resize(data.labels[index], len(scan))


@case(SEGMENTATION, 'a scan of 0 bytes', r'scan1.bin is truncated: 0 bytes')
def _(data):
    data.scans[1] = b''


@case(DETECTION, 'a scan of 0 bytes')
def _(data):
    """A camera may see no point: another frame is drawn."""
    data.scans[1] = b''


@case(KINDS, 'a scan cut in a point', r'scan1.bin is truncated: 157 bytes')
def _(data):
    data.scans[1] = bytes(157)


@case(KINDS, 'a scan is missing', 'scan1.bin')
def _(data):
    data.scans[1] = None


for path in ('/etc/passwd', '../scan.bin', 'http://example.com/scan.bin', 'a/../../scan.bin'):

    @case(KINDS, f'scan at {path}', 'leads out of')
    def _(data, path=path):
        data.entries[1]['lidar_points']['lidar_path'] = path

    @case(SEGMENTATION, f'labels at {path}', 'leads out of')
    def _(data, path=path):
        data.entries[1].update(pts_semantic_mask_path=path, pts_panoptic_mask_path=path)


# Labels.

LABELS = {
    'are missing': (None, r'scan1.label.* is missing'),
    'are cut': (bytes(1199), r'scan1.label is truncated: 1199 bytes'),
    'are too few': (bytes(4 * 299), 'scan1.label labels 299 points, but the scan .* has 300'),
    'are too many': (bytes(4 * 301), 'scan1.label labels 301 points, but the scan .* has 300'),
    'are none': (b'', 'scan1.label labels 0 points, but the scan .* has 300'),
    'are unknown': (np.full(300, 7, '<u4'), r'scan1.label .*7'),
    'are beyond the map': (np.full(300, 65535, '<u4'), r'scan1.label .*65535'),
    'are of no class': (np.zeros(300, '<u4'), None),
    'are of one class': (np.full(300, 40, '<u4'), None),
    'have an object a point': ((10 + (np.arange(1, 301) << 16)).astype('<u4'), None),
    'have instances of stuff': ((40 + (np.arange(1, 301) << 16)).astype('<u4'), None),
    'have the largest instance': (np.full(300, 10 + (65535 << 16), '<u4'), None),
}
for name, (labels, message) in LABELS.items():
    for which in ('labels', 'all labels'):

        @case(SEGMENTATION, f'{which} {name}', message and message.replace('scan1', r'scan\d'))
        def _(data, labels=labels, which=which):
            for index in (1,) if which == 'labels' else (0, 1):
                data.labels[index] = labels


# Boxes.

BOX = 'the sample 1: bbox_3d of object 0 must be 7 finite numbers'

for entry, (value_name, value) in itertools.product(range(7), VALUES.items()):

    @case(
        DETECTION,
        f'bbox_3d[{entry}] is {value_name}',
        f'infos.json: {BOX}',
    )
    def _(data, entry=entry, value=value):
        data.entries[1]['instances'][0]['bbox_3d'][entry] = value


for name, box, message in (
    ('without length', [0, 1.6, 20, 0, 1.5, 1.7, 0], BOX),
    ('of negative width', [0, 1.6, 20, 4, 1.5, -1.7, 0], BOX),
    ('of six numbers', [0, 1.6, 20, 4, 1.5, 1.7], BOX),
    ('null', None, BOX),
    ('text', 'car', BOX),
    ('a kilometre away', [0, 1.6, 1000, 4, 1.5, 1.7, 0], None),
    ('behind', [0, 1.6, -20, 4, 1.5, 1.7, 0], None),
    ('a hundred metres long', [0, 1.6, 20, 100, 1.5, 1.7, 0], None),
    ('a millimetre long', [0, 1.6, 20, 1e-3, 1e-3, 1e-3, 0], None),
    ('beyond float32', [0, 1.6, 1e300, 4, 1.5, 1.7, 0], BOX),
    ('of a size below float32', [0, 1.6, 20, 1e-60, 1.5, 1.7, 0], BOX),
    ('turned a hundred times', [0, 1.6, 20, 4, 1.5, 1.7, 700], None),
    ('at the LiDAR', [0, 0, 0, 4, 1.5, 1.7, 0], None),
):

    @case(DETECTION, f'a box {name}', message)
    def _(data, box=box):
        data.entries[1]['instances'][0]['bbox_3d'] = box


for label in (99, -5, 1.5, 'Car', None, math.nan, []):

    @case(DETECTION, f'the label of a box is {label!r}', r'infos.json')
    def _(data, label=label):
        data.entries[1]['instances'][0]['bbox_label_3d'] = label


for field, value in itertools.product(('lidar_points', 'images', 'instances'), (None, 5, 'text')):

    @case(DETECTION, f'{field} is {value!r}', r'infos.json')
    def _(data, field=field, value=value):
        data.entries[1][field] = value


for field in ('lidar_points', 'images', 'instances', 'sample_idx'):

    @case(DETECTION, f'{field} missing', r'infos.json')
    def _(data, field=field):
        del data.entries[1][field]


for name, matrix in (
    ('NaN', np.full((4, 4), np.nan)),
    ('zero', np.zeros((4, 4))),
    ('text', 'none'),
    ('mirrored', np.diag([1.0, -1, 1, 1])),
):

    @case(DETECTION, f'lidar2cam is {name}', 'infos.json: the sample 1: lidar2cam of CAM2')
    def _(data, matrix=matrix):
        matrix = matrix if isinstance(matrix, str) else matrix.tolist()
        data.entries[1]['images']['CAM2']['lidar2cam'] = matrix


@case(DETECTION, 'no object in a frame')
def _(data):
    data.entries[1]['instances'] = []


@case(DETECTION, 'no object at all', r'None of the 2 frames of .*infos.json .* has an object')
def _(data):
    for entry in data.entries:
        entry['instances'] = []


@case(DETECTION, 'a class that is not trained')
def _(data):
    data.entries[1]['instances'][0].update(bbox_label=-1, bbox_label_3d=-1)


@case(DETECTION, 'fifty objects on one place')
def _(data):
    data.entries[1]['instances'] *= 50


for name, content, message in (
    ('cut', bytes(477), 'object.bin is truncated: 477 bytes'),
    ('of NaN', np.full((30, 4), np.nan), 'object.bin: the intensity'),
    ('of NaN coordinates', np.tile([np.nan, np.nan, np.nan, 0.5], (30, 1)), None),
    ('far from its place', np.full((30, 4), 1e6), None),
    ('without points', b'', None),
):

    @case(DETECTION, f'an object {name}', message)
    def _(data, content=content):
        data.object = content


for place, value in itertools.product(range(7), VALUES.values()):

    @case(
        DETECTION, f'box3d_lidar[{place}] of an object is {value}', 'objects.pkl: an object of Car'
    )
    def _(data, place=place, value=value):
        data.car['box3d_lidar'][place] = value


for field, value in (
    ('box3d_lidar', np.array([30, -8, -1.7, 0, 0, 0, 0])),
    ('box3d_lidar', np.array([30, -8, -1.7, -4, 1.7, 1.5, 0])),
    ('box3d_lidar', np.array([1.0, 2])),
    ('box3d_lidar', None),
    ('name', 'Pedestrian'),
    ('name', None),
    ('path', ''),
    ('path', 'gone.bin'),
    ('path', '../object.bin'),
):

    @case(DETECTION, f'{field} of an object is {value}', 'objects.pkl')
    def _(data, field=field, value=value):
        data.car[field] = value


for name, objects in (
    ('empty', b''),
    ('no pickle', b'text'),
    ('cut', pickle.dumps(dict(Car=[]))[:-4]),
    ('a list', []),
    ('of a number', dict(Car=3)),
    ('of None', dict(Car=[None])),
):

    @case(DETECTION, f'the database is {name}', 'objects.pkl')
    def _(data, objects=objects):
        data.objects = objects


@pytest.mark.parametrize(
    'key',
    [pytest.param(key, marks=[pytest.mark.slow] * CASES[key][3], id=key) for key in CASES],
)
def test_case(key, trained, tmp_path):
    task, spoil, message, _ = CASES[key]
    data = KINDS[task](task)
    spoil(data)
    if message is None:
        step(trained(task), data.load(tmp_path))
        return
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        step(trained(task), data.load(tmp_path))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('task', KINDS)
def test_sound_data_train(task, trained, tmp_path):
    losses = step(trained(task), KINDS[task](task).load(tmp_path))
    assert sum(float(v) for k, v in losses.items() if k.endswith('loss')) > 0


# ---------------------------------------------------------------- SECOND's network, pretrained

# Info files and most images are the same with any network.
OF_POINTS = [
    name
    for name in pretraining.CASES
    if name.split()[0] in ('x', 'z', 'i', 'scan:', 'all') and ' image' not in name
]


@pytest.fixture(scope='module')
def pretrained(scope):
    torch.manual_seed(0)
    return ready(test_voxelnet.small_model())


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[pytest.mark.slow] * (i % 8 > 0 or name in pretraining.SLOW))
        for i, name in enumerate(OF_POINTS)
    ],
)
def test_pretraining_of_voxelnet(name, pretrained, tmp_path):
    spoil, message = pretraining.CASES[name]
    rig = pretraining.Rig()
    spoil(rig)
    rig.write(tmp_path)
    if message is None:
        step(pretrained, pretraining.load(tmp_path))
        return
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        step(pretrained, pretraining.load(tmp_path))


def test_there_are_enough_cases():
    assert len(CASES) >= 500 and len(OF_POINTS) >= 90
