"""Paths of info files. Oracle: files that lie where they lie."""

import os

import numpy as np
import pytest
from mmdet3d.registry import DATASETS

from nclr_mm.datasets import converters
from nclr_mm.datasets.infos import join_inside


def test_errors_name_the_file_and_what_can_be_done():
    with pytest.raises(ValueError) as caught:
        join_inside('data', '../a.bin', source='t.json')
    assert str(caught.value) == 't.json: the path ../a.bin leads out of data.'
    with pytest.raises(ValueError) as caught:
        join_inside('', '/a.bin', outside_root=False)
    assert str(caught.value) == (
        'the path /a.bin leads out of the data root; set outside_root=True of the data set if you '
        'trust the info file'
    )
    assert join_inside('data', '/a.bin', outside_root=True, source='t.json') == '/a.bin'
    assert join_inside('data', 'b/../a.bin') == 'data/b/../a.bin'


def test_links_are_followed_out_of_the_root(nuscenes_root, tmp_path):
    """Data of other disks are linked into the root on purpose."""
    root, disk = tmp_path / 'root', tmp_path / 'disk'
    disk.mkdir()
    root.mkdir()
    infos = converters.create_nuscenes_infos(nuscenes_root, root)['train']
    for folder in nuscenes_root.iterdir():
        if folder.name != 'samples':
            (root / folder.name).symlink_to(folder)
    os.symlink(nuscenes_root / 'samples', disk / 'samples')
    (root / 'samples').symlink_to(disk / 'samples')  # over two links
    config = dict(
        type='NuScenesCalibrationDataset',
        data_root=str(root),
        ann_file=infos.name,
        pipeline=[dict(type='LoadLidarPoints', load_dim=5)],
    )
    linked = DATASETS.build(config)[0]
    scan = linked['lidar_points']['lidar_path']
    assert scan.startswith(f'{root}/samples/LIDAR_TOP/')
    assert os.path.realpath(scan).startswith(f'{nuscenes_root.resolve()}/')
    rows = np.fromfile(scan, np.float32).reshape(-1, 5)
    np.testing.assert_array_equal(linked['points'].tensor.numpy(), rows[:, :4])
    # The converter does the same.
    again = converters.create_nuscenes_infos(root, tmp_path / 'out', check=True)['train']
    assert again.read_bytes() == infos.read_bytes()
