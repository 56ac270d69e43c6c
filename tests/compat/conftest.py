"""Fixture that runs code as upstream packages behave by themselves."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def without_workarounds(tmp_path):
    """Run a script in a fresh interpreter that does not import `nclr_mm`; return its error text."""

    def run(script: str, threads: int = 1) -> str:
        (tmp_path / 'script.py').write_text(script)
        environment = {**os.environ, 'OMP_NUM_THREADS': str(threads), 'PYTHONPATH': ''}
        done = subprocess.run(
            [sys.executable, 'script.py'],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode != 0, 'the upstream fault is gone: remove the workaround'
        return done.stderr

    return run
