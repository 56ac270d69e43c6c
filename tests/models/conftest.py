"""Models are built as mmdet3d's runner builds them: in its scope."""

import pytest
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)


@pytest.fixture(scope='session', autouse=True)
def default_scope():
    init_default_scope('mmdet3d')
