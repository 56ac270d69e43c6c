"""Sentences for unfit environments; the environment of the tests themselves is a fit one."""

import subprocess
import sys
import warnings

import pytest

from nclr_mm.environment import check_environment

FIT = {
    'numpy': '1.26.4',
    'torch': '2.13.0+cpu',
    'opencv-python-headless': '4.11.0.86',
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmdet': '3.3.0',
    'mmdet3d': '1.4.0',
    'spconv': '2.3.8',
}


def check(installed, **options):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_environment(installed=installed, mmcv_operators=lambda: True, **options)


def test_this_environment_is_fit():
    check_environment()


def without(name):
    return {key: version for key, version in FIT.items() if key != name}


@pytest.mark.parametrize('name', sorted(FIT))
def test_a_missing_package(name):
    with pytest.raises(ImportError) as error:
        check(without(name))
    message = str(error.value)
    assert message.startswith('nclr_mm needs ')
    assert 'it is not installed; mend it with: ' in message
    assert f'"{name}==' in message or f'"{name}<' in message or f'"{name}>=' in message
    assert '\n' not in message


@pytest.mark.parametrize(
    'name, version',
    [
        ('numpy', '2.1.0'),
        ('torch', '1.13.1'),
        ('opencv-python-headless', '5.0.0'),
        ('mmengine', '0.7.0'),
        ('mmcv', '2.2.0'),
        ('mmdet', '2.28.0'),
        ('mmdet3d', '1.3.0'),
        ('spconv', '0.1'),
    ],
)
def test_an_unfit_version(name, version):
    with pytest.raises(ImportError) as error:
        check({**FIT, name: version})
    assert f'but {name} {version} is installed; mend it with: ' in str(error.value)


@pytest.mark.parametrize(
    'name, version',
    [('spconv-cu120', '2.3.6'), ('spconv-cu126', '2.3.8'), ('spconv-triton', '1.0')],
)
def test_spconv_by_any_name(name, version):
    check({**without('spconv'), name: version})


@pytest.mark.parametrize(
    'name', ['opencv-python', 'opencv-contrib-python', 'opencv-contrib-python-headless']
)
def test_opencv_by_any_name(name):
    check({**without('opencv-python-headless'), name: '4.10.0.84'})


def test_versions_of_vendors_are_fit():
    check({**FIT, 'torch': '2.11.0a0+git1234.nv25.10'})


def test_two_opencv_packages_are_told():
    with pytest.warns(UserWarning, match='opencv-python 4.10.0.84, opencv-python-headless'):
        check_environment(
            installed={**FIT, 'opencv-python': '4.10.0.84'}, mmcv_operators=lambda: True
        )


def test_mmcv_without_operators():
    with pytest.raises(ImportError, match=r'compiled operators.*MMCV_WITH_OPS=1 pip install'):
        check_environment(installed=FIT, mmcv_operators=lambda: False)


def test_an_old_python():
    with pytest.raises(ImportError, match=r'needs Python >=3.10, but this is Python 3.9.18'):
        check(FIT, python='3.9.18')


def test_the_import_stops_before_anything_heavy(repo):
    """A package without metadata counts as missing, and no heavy package is imported for that."""
    script = (
        'import sys\n'
        'from importlib import metadata\n'
        'found = metadata.distributions\n'
        'metadata.distributions = lambda: ('
        'd for d in found() if d.metadata["Name"].lower() != "mmdet3d")\n'
        'try:\n'
        '    import nclr_mm\n'
        'except ImportError as error:\n'
        '    print(error)\n'
        'print("torch" in sys.modules)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', script], cwd=repo, capture_output=True, text=True, check=True
    )
    message, heavy = done.stdout.splitlines()
    assert message == (
        'nclr_mm needs mmdet3d >=1.4,<1.5, but it is not installed; '
        'mend it with: pip install --no-deps "mmdet3d==1.4.0"'
    )
    assert heavy == 'False'
