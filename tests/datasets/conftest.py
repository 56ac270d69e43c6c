"""Small data sets for the tests of this room."""

from pathlib import Path

import pytest
from mmengine.registry import init_default_scope

from tests.datasets.layouts import make_kitti, make_nuscenes, make_semantickitti


@pytest.fixture(scope='session')
def nuscenes_root(tmp_path_factory) -> Path:
    return make_nuscenes(tmp_path_factory.mktemp('nuscenes'), scenes=('scene-0061', 'scene-0103'))


@pytest.fixture(scope='session')
def semantickitti_root(tmp_path_factory) -> Path:
    return make_semantickitti(tmp_path_factory.mktemp('semantickitti'), sequences=('00', '08'))


@pytest.fixture(scope='session')
def kitti_root(tmp_path_factory) -> Path:
    return make_kitti(tmp_path_factory.mktemp('kitti'))


@pytest.fixture(scope='session', autouse=True)
def _default_scope():
    init_default_scope('mmdet3d')
