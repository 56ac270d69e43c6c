"""Oracle: a stand-in for spconv-triton, the only sparse library that an interpreter sees."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nclr_mm.compat import spconv_triton_name

# -S: without site-packages, so that the spconv installed there is not found.
SCRIPT = """
import importlib.util, sys
sys.path.insert(0, {packages!r})
spec = importlib.util.spec_from_file_location('workaround', {workaround!r})
workaround = importlib.util.module_from_spec(spec)
spec.loader.exec_module(workaround)
workaround.apply()
workaround.apply()
"""
CHECKS = """
import spconv, spconv.pytorch
from spconv.pytorch import SparseConvTensor, ops
import spconv_triton.pytorch.ops
assert spconv.__version__ >= '2.0.0'  # what mmdet3d asks for
assert ops is spconv_triton.pytorch.ops
assert SparseConvTensor is spconv_triton.pytorch.SparseConvTensor
assert importlib.util.find_spec('spconv') is not None
try:
    from spconv.cppconstants import CPU_ONLY_BUILD
except ImportError:
    pass
else:
    raise AssertionError('a module that spconv-triton lacks was found')
"""


@pytest.fixture
def packages(tmp_path):
    package = tmp_path / 'spconv_triton/pytorch'
    package.mkdir(parents=True)
    (package.parent / '__init__.py').write_text("__version__ = '1.0.0'\n")
    (package / '__init__.py').write_text('from . import ops\nfrom .ops import SparseConvTensor\n')
    (package / 'ops.py').write_text('class SparseConvTensor:\n    pass\n')
    return tmp_path


def run(packages: Path, checks: str) -> None:
    script = SCRIPT.format(packages=str(packages), workaround=spconv_triton_name.__file__)
    done = subprocess.run(
        [sys.executable, '-S', '-c', script + checks],
        env={**os.environ, 'PYTHONPATH': ''},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_mmdet3d_finds_it(packages):
    run(packages, CHECKS)


def test_an_spconv_that_is_there_stays(packages):
    (packages / 'spconv').mkdir()
    (packages / 'spconv/__init__.py').write_text("__version__ = '2.3.6'\n")
    run(packages, "import spconv\nassert spconv.__version__ == '2.3.6' and spconv.__file__\n")


def test_without_either_nothing_happens(tmp_path):
    run(tmp_path, "assert 'spconv' not in sys.modules\n")


def test_here_the_real_spconv_is_used():
    import spconv

    assert spconv.__file__
