"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def real_data() -> Path:
    """Folder of real sensor frames (`NCLR_DATA`), or a skip with the reason."""
    folder = Path(os.environ.get('NCLR_DATA', REPO.parent / 'shared' / 'data'))
    if not folder.is_dir():
        pytest.skip(f'no real data: {folder} does not exist; set NCLR_DATA to its folder')
    return folder.resolve()


@pytest.fixture(scope='session')
def repo() -> Path:
    """Root of the repository."""
    return REPO
