"""Fixtures for all tests."""

import importlib.util
import os
import resource
import signal
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items):
    """Begin with what starts programs: begun last, it would leave one worker alone at the end."""
    items.sort(key=lambda item: REPO / 'tests/tools' not in item.path.parents)


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


_FILE_LIMIT = resource.getrlimit(resource.RLIMIT_FSIZE)


@pytest.fixture
def limit_files():
    """Lets no file of this process grow beyond a number of bytes, as on a disk that is full."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, _FILE_LIMIT[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, _FILE_LIMIT)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Takes that back before pytest writes how the test went, which may be to a file."""
    try:
        return (yield)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, _FILE_LIMIT)


@pytest.fixture(scope='session')
def load_tool(repo):
    """Imports ``tools/<name>.py`` as a module of its own."""

    def load(name: str):
        spec = importlib.util.spec_from_file_location(f'tool_{name}', repo / f'tools/{name}.py')
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    return load
