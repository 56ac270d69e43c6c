"""Files from elsewhere do not run code. Oracles: plain pickle and PyYAML, which do."""

import pickle
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import yaml
from mmdet3d.registry import DATASETS
from mmengine import dump, load
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (applies the workaround)
from nclr_mm.calibration import read_intrinsics
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
    scalar=np.float64(2.5),
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

    with pytest.raises(pickle.UnpicklingError, match=r'posix\.mkdir'):
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


def test_the_fault_is_still_there(infos, mark):
    script = f'from mmengine import load; load({str(infos)!r})'
    subprocess.run([sys.executable, '-c', script], check=True)
    assert mark.is_dir()
