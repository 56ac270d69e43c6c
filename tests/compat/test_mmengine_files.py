"""Files from elsewhere do not run code. Oracles: plain pickle and PyYAML, which do."""

import codecs
import pickle
import signal
import subprocess
import sys
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import yaml
from mmdet3d.registry import DATASETS
from mmengine import dump, load
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (applies the workaround)
from nclr_mm.calibration import read_intrinsics
from nclr_mm.datasets import CalibrationDataset
from nclr_mm.datasets.converters.kitti_detection import create_gt_database
from tests.crafted import Boom

PLAIN = dict(
    number=3,
    text='ü',
    raw=b'\x00\xff',
    nothing=None,
    some=[1.5, (2, True)],
    names={'a', 'b'},
    ordered=OrderedDict(b=1, a=2),
    matrix=np.arange(6, dtype=np.float32).reshape(2, 3),
    strings=np.array(['Car', 'Van']),
    objects=np.array([None, 'x'], dtype=object),
    dtypes={kind: np.ones(3, kind) for kind in ('?', 'i1', 'u2', 'f2', '>f4', '<f8', 'c16', 'S3')},
    column=np.asfortranarray(np.ones((3, 2))),
    empty=np.zeros((0, 7), np.float32),
    none=np.array(3.0),
    scalar=np.float64(2.5),
    text_scalar=np.str_('x'),
    count=np.int64(7),
)


@pytest.fixture
def mark(tmp_path):
    """A folder that is there once code was run."""
    return tmp_path / 'code_was_run'


@pytest.fixture
def infos(tmp_path, mark):
    """An info file that would run code."""
    content = dict(metainfo=dict(categories={'Car': 0}), data_list=[dict(sample_idx=Boom(mark))])
    path = tmp_path / 'infos.pkl'
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_plain_is_read(tmp_path, protocol):
    dump(PLAIN, tmp_path / 'file.pkl', protocol=protocol)
    found = load(tmp_path / 'file.pkl')
    assert list(found) == list(PLAIN)
    for name, value in PLAIN.items():
        assert type(found[name]) is type(value)
        np.testing.assert_equal(found[name], value)


def test_the_oracle_runs_code(infos, mark):
    pickle.loads(infos.read_bytes())
    assert mark.is_dir()


def test_mmengine_load(infos, mark):
    with pytest.raises(pickle.UnpicklingError, match=r'refers to posix\.mkdir'):
        load(infos)
    assert not mark.exists()


@pytest.mark.parametrize(
    'code',
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'dump'\ntR.",
        b'cnumpy\nload\n.',
        b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
    ],
)
def test_other_ways_out(tmp_path, code):
    (tmp_path / 'file.pkl').write_bytes(code)
    with pytest.raises(pickle.UnpicklingError):
        load(tmp_path / 'file.pkl')


class Made:
    """Pickles as a call with arguments, and a state."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


RECONSTRUCT, SCALAR = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
FROM_BUFFER = np.zeros(1).__reduce_ex__(5)[0]
ADDRESS = b'A' * 8
#: bytes whose field says that they are an object, and whose flags say that they are not
FIELD = (3, '|', None, ('f',), {'f': (np.dtype('O'), 0)}, 8, 1, 0)
DISGUISED = Made(np.dtype, 'V8', False, True, state=FIELD)
FLAGS = Made(np.dtype, 'O8', False, True, state=(3, '|', None, None, None, -1, -1, 0))
NUMBERS = Made(np.dtype, 'f8', False, True, state=(3, '<', None, *FIELD[3:5], -1, -1, 0))


@pytest.mark.parametrize(
    'crafted',
    [
        Made(np.ndarray, (1,), np.dtype('O'), ADDRESS),
        Made(np.ndarray, (1,), 'O', ADDRESS),
        *(
            made
            for dtype in (DISGUISED, FLAGS, NUMBERS, np.dtype([('f', 'O')]), np.dtype('O'))
            for made in (
                Made(np.ndarray, (1,), dtype, ADDRESS),
                Made(FROM_BUFFER, ADDRESS, dtype, (1,), 'C'),
                Made(SCALAR, dtype, ADDRESS),
                Made(
                    *(RECONSTRUCT, np.ndarray, (0,), b'b'),
                    state=(1, (1,), dtype, False, ADDRESS),
                ),
            )
        ),
        Made(RECONSTRUCT, np.ndarray, (1,), b'O'),
        Made(np.dtype, 'i4,O'),
        Made(bytearray, 2**40),
        Made(bytes, 2**40),
        Made(np.dtype, dict(names=['f'], formats=['O'])),
        Made(defaultdict, np.ndarray),
        Made(np.dtype, 'i4,' * 1000),
        *(
            Made(RECONSTRUCT, np.ndarray, (0,), b'b', state=(1, shape, dtype, False, raw))
            for shape, dtype, raw in (
                ((2**40,), np.dtype('S0'), b''),
                ((2**40,), np.dtype('U0'), b''),
                ((2**40,), np.dtype('V0'), b''),
                ((2**40,), np.dtype('f8'), b''),
                ((2,), np.dtype('O'), [None]),
                ((-1,), np.dtype('f8'), ADDRESS),
                ((2**20, (1,)), np.dtype('f8'), ADDRESS),
            )
        ),
        Made(str, [1]),
        Made(set, {1: 2}),
        Made(frozenset, [((1, 2), 3)]),
    ],
)
@pytest.mark.parametrize('protocol', [2, 5])
def test_bytes_are_never_taken_for_addresses(tmp_path, crafted, protocol):
    """Nor is anything else made otherwise than NumPy writes it."""
    (tmp_path / 'file.pkl').write_bytes(pickle.dumps(dict(a=crafted), protocol=protocol))
    with pytest.raises(pickle.UnpicklingError):
        load(tmp_path / 'file.pkl')


def doubled(kind, levels=60):
    """Something of a few bytes that as a text or a tree is of 2 ** levels parts."""
    value = kind([1])
    for _ in range(levels):
        value = kind([value, value])
    return value


#: before a key, and after it
HASHING = {
    'SETITEM': (b'}', b'K\x01s'),
    'SETITEMS': (b'}(', b'K\x01u'),
    'DICT': (b'(', b'K\x01d'),
    'ADDITEMS': (b'\x8f(', b'\x90'),
    'FROZENSET': (b'(', b'\x91'),
}


def pickled_as_key(opcode, key, protocol):
    """What would be made of it, were it not to hang."""
    code = pickle.dumps(key, protocol)[:-1]
    head = code[: 2 * (protocol >= 2)]
    body = code[len(head) :]
    if body[:1] == b'\x95':  # the length of a frame
        body = body[9:]
    before, after = HASHING[opcode]
    return head + before + body + after + b'.'


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('opcode', HASHING)
def test_keys_that_take_for_ever_to_hash(tmp_path, opcode, protocol):
    """Oracle: of few levels, it is what pickle reads."""
    for levels in (0, 3):
        code = pickled_as_key(opcode, doubled(tuple, levels), protocol)
        (tmp_path / 'file.pkl').write_bytes(code)
        assert load(tmp_path / 'file.pkl') == pickle.loads(code)
    code = pickled_as_key(opcode, doubled(tuple), protocol)
    assert len(code) < 1500
    (tmp_path / 'file.pkl').write_bytes(code)
    with pytest.raises(pickle.UnpicklingError, match='its keys are tuples of tuples without end'):
        load(tmp_path / 'file.pkl')


@pytest.mark.parametrize(
    'level',
    [
        b'h\x05h\x05\x86q\x05',
        b'h\x05j\5\0\0\0\x86r\5\0\0\0',
        b'g5\nh\x05\x86p5\n',
        b'(h\x05h\x05tq\x05',
        b'](K\x02G12345678eN}(K\x01K\x02u(h\x05K\x01h\x05tq\x05',
        b'(h\x05h\x05t(e(uq\x05',
        b'NNh\x05h\x05\x86q\x05\x87q\x05',
    ],
)
def test_keys_in_other_opcodes(tmp_path, level):
    """The value 5 is a tuple of itself twice, again and again, amid others. Oracle: pickle."""

    def code(levels):
        return b'\x80\x02K\x01\x85q\x05' + level * levels + b'}(h\x05K\x01u.'

    (tmp_path / 'file.pkl').write_bytes(code(3))
    found = load(tmp_path / 'file.pkl')
    assert found == pickle.loads(code(3)) and str(found).count('(1,)') == 8
    (tmp_path / 'file.pkl').write_bytes(code(60))
    with pytest.raises(pickle.UnpicklingError, match=r'tuples of tuples|tuples in one another'):
        load(tmp_path / 'file.pkl')


def test_keys_in_one_another(tmp_path):
    """Hashing them would take more of the C stack than there is."""
    (tmp_path / 'file.pkl').write_bytes(b'\x80\x02})' + b'\x85' * 1_000_000 + b'K\x01s.')
    with pytest.raises(pickle.UnpicklingError, match='more than 100 tuples in one another'):
        load(tmp_path / 'file.pkl')


@pytest.mark.parametrize('put', [b'r\xff\xff\xff\x01', b'K\x01ar\xff\xff\xff\x01', b'p33554431\n'])
def test_places_for_values_that_are_not_there(tmp_path, put):
    """Python's unpickler makes room for as many as the number of one; of 2 bytes more, 512 MiB."""
    (tmp_path / 'file.pkl').write_bytes(
        b'\x80\x02]' + put.replace(b'\xff\xff\x01', b'\0\0\0') + b'.'
    )
    if put[:1] != b'p':
        load(tmp_path / 'file.pkl')
    (tmp_path / 'file.pkl').write_bytes(b'\x80\x02]' + put + b'.')
    with pytest.raises(pickle.UnpicklingError, match='keeps a value as number 33554431'):
        load(tmp_path / 'file.pkl')


@pytest.mark.parametrize(
    'crafted',
    [
        Made(bytes, dict(a=doubled(list))),
        Made(str, doubled(list)),
        Made(set, [doubled(list)]),
        Made(np.dtype, doubled(list)),
        Made(codecs.encode, 'x', doubled(list)),
    ],
)
def test_messages_hold_no_text_without_end(tmp_path, crafted):
    (tmp_path / 'file.pkl').write_bytes(pickle.dumps(crafted))
    with pytest.raises(pickle.UnpicklingError) as error:
        load(tmp_path / 'file.pkl')
    assert len(str(error.value)) < 300


def test_the_oracle_takes_bytes_for_addresses(tmp_path):
    code = pickle.dumps(Made(np.ndarray, (1,), np.dtype('O'), ADDRESS))
    done = subprocess.run([sys.executable, '-c', f'import pickle; print(pickle.loads({code!r}))'])
    assert done.returncode == -signal.SIGSEGV


@pytest.mark.parametrize(
    'kind',
    [
        'CalibrationDataset',
        'NuScenesCalibrationDataset',
        'KittiCalibrationDataset',
        'SemanticKittiCalibrationDataset',
        'NuScenesSegmentationDataset',
        'KittiDataset',
        'NuScenesDataset',
    ],
)
def test_data_sets(infos, mark, kind):
    init_default_scope('mmdet3d')
    with pytest.raises((ValueError, pickle.UnpicklingError), match=r'posix\.mkdir'):
        DATASETS.build(dict(type=kind, data_root=str(infos.parent), ann_file=infos.name))
    assert not mark.exists()


def test_ground_truth_databases(infos, mark, tmp_path):
    from mmdet3d.datasets.transforms.dbsampler import DataBaseSampler

    with pytest.raises(ValueError, match=r'infos.*posix\.mkdir'):
        create_gt_database(infos, tmp_path / 'out', 'kitti')
    with pytest.raises(pickle.UnpicklingError, match=r'posix\.mkdir'):
        DataBaseSampler(str(infos), str(tmp_path), 1.0, {}, {}, classes=['Car'])
    assert not mark.exists()


def test_yaml(tmp_path, mark):
    path = tmp_path / 'camera.yaml'
    path.write_text(f'!!python/object/apply:os.mkdir ["{mark}"]')
    for read in (load, read_intrinsics):
        with pytest.raises((ValueError, yaml.YAMLError)):
            read(path)
    assert not mark.exists()
    dump(dict(a=[1, 2.5, 'x']), path)
    assert load(path) == dict(a=[1, 2.5, 'x'])
    yaml.load(f'!!python/object/apply:os.mkdir ["{mark}"]', yaml.Loader)
    assert mark.is_dir()


def merged(levels):
    """Each mapping is twice the one before."""
    lines = ['a0: &a0 {x: 1}']
    lines += [f'a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}' for i in range(1, levels)]
    return '\n'.join(lines)


@pytest.mark.parametrize(
    ('text', 'message'),
    [('[' * 200_000, 'recursion'), (merged(60), 'merged into one another without end')],
    ids=['nested', 'merged'],
)
def test_yaml_without_end(tmp_path, text, message):
    path = tmp_path / 'infos.yaml'
    path.write_text(merged(8) + '\nb: &b [1]\nc: *b')
    assert load(path) == yaml.safe_load(path.read_text())
    path.write_text(text)
    with pytest.raises((yaml.YAMLError, RecursionError), match=message):
        load(path)
    with pytest.raises(ValueError, match=rf'The info file .*infos\.yaml cannot be read.*{message}'):
        CalibrationDataset(ann_file=str(path))


def test_the_fault_is_still_there(infos, mark):
    script = f'from mmengine import load; load({str(infos)!r})'
    subprocess.run([sys.executable, '-c', script], check=True)
    assert mark.is_dir()
