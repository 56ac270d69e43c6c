"""Checks that the packages `nclr_mm` stands on are installed in versions that fit.

Only package metadata is read, nothing is imported, so the check is quick and its message
comes before any import error or crash that an unfit package would cause.
"""

from __future__ import annotations  # an older Python must get as far as the check of it

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path

try:
    from packaging.requirements import Requirement as PipRequirement
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version
except ImportError as error:
    raise ImportError(
        'nclr_mm needs packaging, but it is not installed; mend it with: pip install packaging'
    ) from error

PYTHON = '>=3.10,<3.13'  # as in the Makefile
OPENMMLAB = ('mmengine', 'mmcv', 'mmdet', 'mmdet3d')
# What the metadata ask for and nothing here imports (docs/install.md, "What `pip check` says");
# OpenCV is checked by itself, under each of its names.
NOT_NEEDED = {'opencv-python', 'open3d', 'black', 'flake8', 'plotly', 'parameterized', 'pytest'}


@dataclass(frozen=True)
class Requirement:
    """A package that `nclr_mm` needs.

    Args:
        name (str): Name in messages.
        versions (str): PEP 440 range of fit versions.
        remedy (str): Shell command that installs a fit version.
        distributions (dict[str, str]): Names of the distributions that provide the package, and
            the PEP 440 range of each. A name that ends in `*` stands for all names with that
            beginning. Defaults to the name and range above.
    """

    name: str
    versions: str
    remedy: str
    distributions: dict[str, str] = field(default_factory=dict)

    def range_of(self, distribution: str) -> str | None:
        """Range of fit versions of a distribution; None if it does not provide the package."""
        for pattern, versions in (self.distributions or {self.name: self.versions}).items():
            if _matches(distribution, pattern):
                return versions
        return None


_MMCV = 'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-deps --no-binary mmcv "mmcv==2.1.0"'

# mmdet3d 1.4.0 itself accepts mmcv < 2.2, mmengine < 1.0 and mmdet < 3.4 (mmdet3d/__init__.py).
# nuscenes-devkit 1.2 asks for numpy < 2.
REQUIREMENTS = (
    Requirement('numpy', '>=1.22,<2', 'pip install "numpy<2"'),
    # Before 2.6, mmengine's torch.load runs what a checkpoint brings along.
    Requirement('torch', '>=2.6', 'pip install "torch>=2.6"'),
    Requirement(
        'opencv (cv2)',
        '>=4.5.4,<4.12',
        'pip install "opencv-python-headless==4.11.0.86"',
        {
            'opencv-python-headless': '>=4.5.4,<4.12',
            'opencv-python': '>=4.5.4,<4.12',
            'opencv-contrib-python-headless': '>=4.5.4,<4.12',
            'opencv-contrib-python': '>=4.5.4,<4.12',
        },
    ),
    # The range leaves out pre-releases of 0.11, too, with which nothing was tested.
    Requirement('mmengine', '>=0.10.3,<0.11', 'pip install --no-deps "mmengine==0.10.7"'),
    Requirement('mmcv', '>=2.0.1,<2.2', _MMCV),
    Requirement('mmdet', '>=3.0,<3.4', 'pip install --no-deps "mmdet==3.3.0"'),
    Requirement('mmdet3d', '>=1.4,<1.5', 'pip install --no-deps "mmdet3d==1.4.0"'),
    Requirement(
        'spconv',
        '>=2.1',
        'pip install "spconv==2.3.8" (with an NVIDIA GPU: "spconv-cu126" or "spconv-triton")',
        # spconv-triton counts its versions anew.
        {'spconv': '>=2.1', 'spconv-cu*': '>=2.1', 'spconv-triton': '>=1.0'},
    ),
    # What the package imports itself; the ranges are those of setup.py.
    Requirement('matplotlib', '>=3.6', 'pip install "matplotlib>=3.6"'),
    Requirement('pillow', '>=9', 'pip install "pillow>=9"'),
    Requirement('poselib', '>=2.0.4', 'pip install "poselib>=2.0.4"'),
    Requirement('pyquaternion', '>=0.9.9', 'pip install "pyquaternion>=0.9.9"'),
    Requirement('pyyaml', '>=5.1', 'pip install "pyyaml>=5.1"'),
    Requirement('scikit-learn', '>=1.3', 'pip install "scikit-learn>=1.3"'),  # HDBSCAN
    Requirement('scipy', '>=1.9', 'pip install "scipy>=1.9"'),
    Requirement('shapely', '>=2', 'pip install "shapely>=2"'),
    Requirement('terminaltables', '>=3.1', 'pip install "terminaltables>=3.1"'),
    Requirement('tqdm', '>=4.60', 'pip install "tqdm>=4.60"'),
)


def missing_extra(error: ModuleNotFoundError, extra: str) -> str:
    """What is missing, and the command that installs it with an extra of this package."""
    package = (error.name or '').partition('.')[0]
    return f'{package} is not installed; mend it with: pip install -e ".[{extra}]"'


def installed_distributions() -> dict[str, str]:
    """Names (normalised as in PEP 503) and versions of all installed distributions."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata['Name']
        if name:
            # The first one on sys.path is the one that imports, as in importlib itself.
            found.setdefault(name.lower().replace('_', '-').replace('.', '-'), distribution.version)
    return found


def has_mmcv_operators() -> bool:
    """Whether mmcv was installed with its compiled operators, without importing anything."""
    mmcv = util.find_spec('mmcv')
    if mmcv is None or not mmcv.submodule_search_locations:
        return False
    folders = map(Path, mmcv.submodule_search_locations)
    return any(True for folder in folders for _ in folder.glob('_ext.*'))


def missing_dependency(
    roots: Sequence[str] = OPENMMLAB, requires: Callable[[str], list[str] | None] | None = None
) -> tuple[str, str] | None:
    """The first package that the OpenMMLab packages stand on and that is not installed.

    They are installed with ``--no-deps``, for what they ask for does not fit together, so pip does
    not see to it.

    Args:
        roots (Sequence[str]): Installed packages to begin with.
        requires (Callable): Requirements of a distribution by its name, None if it is not
            installed. Defaults to this interpreter's.

    Returns:
        The missing requirement and the package that asks for it, or None.
    """
    requires = requires or _requires
    seen = set(roots)
    queue = list(roots)
    while queue:
        parent = queue.pop(0)
        for text in requires(parent) or ():
            requirement = PipRequirement(text)
            name = requirement.name.lower().replace('_', '-').replace('.', '-')
            unwanted = requirement.marker and not requirement.marker.evaluate({'extra': ''})
            if unwanted or name in seen or name in NOT_NEEDED:
                continue
            if requires(name) is None:
                return f'{requirement.name}{requirement.specifier}', parent
            seen.add(name)
            queue.append(name)
    return None


def _requires(name: str) -> list[str] | None:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return None


def check_environment(
    requirements: Sequence[Requirement] = REQUIREMENTS,
    installed: dict[str, str] | None = None,
    mmcv_operators: Callable[[], bool] = has_mmcv_operators,
    python: str | None = None,
    dependency: Callable[[], tuple[str, str] | None] = missing_dependency,
) -> None:
    """Check all requirements and stop at the first one that is not met.

    Args:
        requirements (Sequence[Requirement]): Packages to check, in the order of installation.
        installed (dict, optional): Normalised names and versions of the installed distributions.
            Defaults to those of this interpreter.
        mmcv_operators (Callable): Tells whether mmcv has its operators.
        python (str, optional): Version of Python. Defaults to that of this interpreter.
        dependency (Callable): Finds a missing package that the OpenMMLab packages stand on.

    Raises:
        ImportError: One sentence that names the package missing or of an unfit or unreadable
            version, and the command that mends it.
    """
    python = python or '.'.join(map(str, sys.version_info[:3]))
    if not SpecifierSet(PYTHON).contains(python, prereleases=True):
        raise ImportError(
            f'nclr_mm needs Python {PYTHON}, but this is Python {python}; mend it with: '
            'make install PYTHON=python3.11'
        )
    installed = installed_distributions() if installed is None else installed
    for requirement in requirements:
        _check_requirement(requirement, installed)
    _check_cumm(installed)
    missing = dependency()
    if missing is not None:
        raise ImportError(
            f'nclr_mm needs {missing[0]}, which {missing[1]} stands on, but it is not installed; '
            f'mend it with: pip install "{missing[0]}"'
        )
    if not mmcv_operators():
        raise ImportError(
            f'nclr_mm needs mmcv with its compiled operators, but mmcv {installed["mmcv"]} is '
            'installed without them (no module mmcv._ext); mend it with: '
            f'pip uninstall -y mmcv && {_MMCV}'
        )


def _check_requirement(requirement: Requirement, installed: dict[str, str]) -> None:
    versions = {
        name: version
        for name, version in installed.items()
        if requirement.range_of(name) is not None
    }
    if not versions:
        raise ImportError(
            f'nclr_mm needs {requirement.name} {requirement.versions}, but it is not installed; '
            f'mend it with: {requirement.remedy}'
        )
    if len(versions) > 1:
        listing = ', '.join(f'{name} {version}' for name, version in sorted(versions.items()))
        warnings.warn(
            f'{requirement.name} is installed more than once ({listing}); these packages overwrite '
            f"each other's files: uninstall them all, then {requirement.remedy}",
            stacklevel=3,
        )
    for name, version in versions.items():
        fit = requirement.range_of(name)
        try:
            # Pre-releases are accepted: builds of GPU vendors are often versioned as such.
            if SpecifierSet(fit).contains(Version(version), prereleases=True):
                continue
        except (InvalidVersion, TypeError) as error:  # TypeError: the metadata have no version
            raise ImportError(
                f'nclr_mm needs {requirement.name} {fit}, but {name} is installed with the '
                f'unreadable version {version!r}; mend it with: pip uninstall -y {name} && '
                f'{requirement.remedy}'
            ) from error
        raise ImportError(
            f'nclr_mm needs {requirement.name} {fit}, but {name} {version} is installed; '
            f'mend it with: {requirement.remedy}'
        )


def _check_cumm(installed: dict[str, str]) -> None:
    """Raise ImportError if spconv lacks cumm, its library of kernels; spconv-triton needs none."""
    if any(_matches(name, pattern) for name in installed for pattern in ('cumm', 'cumm-cu*')):
        return
    for name, version in installed.items():
        if name == 'spconv' or _matches(name, 'spconv-cu*'):
            # Installing spconv again takes the range of cumm that this version of it asks for.
            raise ImportError(
                f'nclr_mm needs {name.replace("spconv", "cumm")}, which {name} {version} stands '
                f'on, but it is not installed; mend it with: pip install "{name}=={version}"'
            )


def _matches(name: str, pattern: str) -> bool:
    if pattern.endswith('*'):
        return name.startswith(pattern[:-1])
    return name == pattern


def check_devices() -> None:
    """Stop where torch sees a GPU that spconv cannot use; mmengine trains on it without asking.

    Raises:
        ImportError: One sentence with the command that mends it.
    """
    import torch

    if not torch.cuda.is_available():
        return
    try:
        from spconv.cppconstants import CPU_ONLY_BUILD
    except ImportError:  # spconv-triton is for GPUs and has no such constant
        return
    if CPU_ONLY_BUILD:
        raise ImportError(
            'nclr_mm needs an spconv for GPUs, for torch sees one and the spconv that is installed '
            'is for CPUs alone; mend it with: pip uninstall -y spconv cumm && pip install '
            'spconv-cu126 (or hide the GPU: export CUDA_VISIBLE_DEVICES=)'
        )
