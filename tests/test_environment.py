"""Sentences for unfit environments; the environment of the tests themselves is a fit one."""

import ast
import re
import subprocess
import sys
import warnings

import pytest

from nclr_mm.environment import (
    NOT_NEEDED,
    OPENMMLAB,
    REQUIREMENTS,
    check_devices,
    check_environment,
    missing_dependency,
)

FIT = {
    'numpy': '1.26.4',
    'torch': '2.13.0+cpu',
    'opencv-python-headless': '4.11.0.86',
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmdet': '3.3.0',
    'mmdet3d': '1.4.0',
    'spconv': '2.3.8',
    'cumm': '0.7.11',
    'matplotlib': '3.11.2',
    'pillow': '13.0.0',
    'poselib': '2.0.5',
    'pyquaternion': '0.9.9',
    'pyyaml': '6.0.3',
    'scikit-learn': '1.9.1',
    'scipy': '1.17.1',
    'shapely': '2.0.7',
    'terminaltables': '3.1.10',
    'tqdm': '4.70.1',
}


def check(installed, **options):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_environment(
            installed=installed,
            mmcv_operators=lambda: True,
            dependency=lambda: None,
            **options,
        )


def test_this_environment_is_fit():
    check_environment()


def without(name):
    return {key: version for key, version in FIT.items() if key != name}


@pytest.mark.parametrize('name', sorted(set(FIT) - {'cumm'}))
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
        ('mmengine', '0.11.0rc3'),
        ('mmengine', '0.11.0'),
        ('mmcv', '2.2.0rc1'),
        ('mmcv', '2.2.0'),
        ('mmdet', '2.28.0'),
        ('mmdet3d', '1.3.0'),
        ('spconv', '0.1'),
        ('spconv', '1.2.1'),
        ('matplotlib', '3.5.3'),
        ('poselib', '2.0.3'),
        ('scipy', '1.8.1'),
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


def test_each_spconv_has_its_own_range():
    for name, version, fit in (
        ('spconv-cu120', '2.0.0', '>=2.1'),
        ('spconv-triton', '0.9', '>=1.0'),
    ):
        message = rf'needs spconv {fit}, but {name} {version} is installed; mend it with: '
        with pytest.raises(ImportError, match=message):
            check({**without('spconv'), name: version})


def test_spconv_without_its_kernels():
    bare = {key: version for key, version in FIT.items() if key not in ('spconv', 'cumm')}
    for name, kernels in (('spconv', 'cumm'), ('spconv-cu126', 'cumm-cu126')):
        with pytest.raises(ImportError) as error:
            check({**bare, name: '2.3.8'})
        assert str(error.value) == (
            f'nclr_mm needs {kernels}, which {name} 2.3.8 stands on, but it is not installed; '
            f'mend it with: pip install "{name}==2.3.8"'
        )
        check({**bare, name: '2.3.8', kernels: '0.7.11'})
    check({**bare, 'spconv-triton': '1.0'})


@pytest.mark.parametrize('version', ['unknown', '2.1-dirty-of-me', '', None])
def test_a_version_that_cannot_be_read(version):
    with pytest.raises(ImportError) as error:
        check({**FIT, 'scipy': version})
    assert str(error.value) == (
        f'nclr_mm needs scipy >=1.9, but scipy is installed with the unreadable version '
        f'{version!r}; mend it with: pip uninstall -y scipy && pip install "scipy>=1.9"'
    )


def test_ranges_are_those_that_pip_takes(repo):
    asked = re.search(r'install_requires=\[(.*?)\]', (repo / 'setup.py').read_text(), re.S)[1]
    asked = set(re.findall(r"'(.+)'", asked))
    late = {'efficientnet-lite', 'packaging', 'tensorboard'}  # not imported, or before the check
    names = {requirement.name + requirement.versions for requirement in REQUIREMENTS}
    assert {text for text in asked if not text.startswith(tuple(late))} <= names


def test_what_the_package_imports_is_checked(repo):
    """Each package that nclr_mm's own modules import at once is among the requirements."""
    script = 'import sys, nclr_mm; print(*[n for n in sys.modules if n.startswith("nclr_mm")])'
    done = subprocess.run(
        [sys.executable, '-c', script], cwd=repo, capture_output=True, text=True, check=True
    )
    imported = set()
    for name in done.stdout.split():
        path = repo / name.replace('.', '/')
        path = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                imported |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(node.module.split('.')[0])
    imported -= {*sys.stdlib_module_names, 'nclr_mm', 'packaging'}
    names = {'cv2': 'opencv (cv2)', 'PIL': 'pillow', 'sklearn': 'scikit-learn', 'yaml': 'pyyaml'}
    checked = {requirement.name for requirement in REQUIREMENTS}
    assert {names.get(module, module) for module in imported} <= checked


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
        check_environment(installed=FIT, mmcv_operators=lambda: False, dependency=lambda: None)


def test_an_old_python():
    with pytest.raises(ImportError, match=r'needs Python >=3.10,<3.13, but this is Python 3.9.18'):
        check(FIT, python='3.9.18')


@pytest.mark.parametrize('python', ['3.13.0', '3.14.2'])
def test_a_python_that_is_too_new(python):
    with pytest.raises(ImportError, match=rf'this is Python {python}; .* PYTHON=python3.11'):
        check(FIT, python=python)


def test_pythons_are_those_of_the_makefile(repo):
    oldest, newest = re.search(
        r'\(3, (\d+)\) <= sys.version_info\[:2\] <= \(3, (\d+)\)', (repo / 'Makefile').read_text()
    ).groups()
    for minor in range(8, 16):
        if int(oldest) <= minor <= int(newest):
            check(FIT, python=f'3.{minor}.3')
        else:
            with pytest.raises(ImportError):
                check(FIT, python=f'3.{minor}.3')


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


def test_what_the_openmmlab_packages_stand_on():
    """They are installed with --no-deps, so a package of theirs may be missing."""
    table = {
        'mmdet3d': [
            'numba>=0.5',
            'open3d',
            'faketools; extra == "tests"',
            'old; python_version<"3"',
        ],
        'mmengine': ['Yet_Another.Formatter'],
        'numba': ['llvmlite<1'],
        'yet-another-formatter': [],
        'llvmlite': [],
    }
    roots = ('mmengine', 'mmdet3d')
    assert missing_dependency(roots, table.get) is None
    del table['llvmlite']
    assert missing_dependency(roots, table.get) == ('llvmlite<1', 'numba')
    del table['yet-another-formatter']
    assert missing_dependency(roots, table.get) == ('Yet_Another.Formatter', 'mmengine')
    with pytest.raises(ImportError) as error:
        check_environment(
            installed=FIT,
            mmcv_operators=lambda: True,
            dependency=lambda: ('llvmlite<1', 'numba'),
        )
    assert str(error.value) == (
        'nclr_mm needs llvmlite<1, which numba stands on, but it is not installed; '
        'mend it with: pip install "llvmlite<1"'
    )


def test_make_installs_all_that_the_openmmlab_packages_stand_on(repo):
    pins = (repo / 'requirements/runtime.txt').read_text() + (
        repo / 'requirements/build.txt'
    ).read_text()
    pinned = {
        re.sub(r'[._]', '-', name.lower()) for name in re.findall(r'^([\w.-]+)==', pins, re.M)
    }
    asked = []

    def record(name):
        asked.append(name)
        from importlib import metadata

        return metadata.requires(name) or []

    assert missing_dependency(OPENMMLAB, record) is None
    assert len(asked) > 40
    assert set(asked) - pinned <= {'mmcv', 'torch'}
    # plotly is there for scenes (extra scene3d), not for those that name it.
    assert NOT_NEEDED & pinned <= {'plotly'}


def test_a_gpu_with_an_spconv_for_cpus(monkeypatch):
    from spconv import cppconstants

    check_devices()
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr(cppconstants, 'CPU_ONLY_BUILD', True)
    with pytest.raises(ImportError, match=r'needs an spconv for GPUs.*pip install spconv-cu126'):
        check_devices()
    monkeypatch.setattr(cppconstants, 'CPU_ONLY_BUILD', False)
    check_devices()
