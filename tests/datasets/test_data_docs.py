"""The examples of docs/data.md run as they are written."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from mmdet3d.registry import DATASETS
from mmengine.config import Config

from tests.datasets.layouts import write_image, write_scan


@pytest.fixture(scope='module')
def blocks(repo):
    text = (repo / 'docs/data.md').read_text()
    return re.findall(r'```python\n(.*?)```', text.split('## Your own rig')[1], flags=re.S)


def test_your_own_rig(blocks, repo, tmp_path, monkeypatch):
    info_file, config_text = blocks
    root = tmp_path / 'data/my_rig'
    write_scan(root / 'scans/000000.bin', 4)
    write_image(root / 'front/000000.png', 400, 640)
    monkeypatch.chdir(tmp_path)
    exec(info_file, {})

    folder = tmp_path / 'configs/nclr'
    folder.mkdir(parents=True)
    (tmp_path / 'configs/_base_').symlink_to(repo / 'configs/_base_')
    (folder / 'mine.py').write_text(config_text)
    config = Config.fromfile(folder / 'mine.py')
    sample = DATASETS.build(config.train_dataloader.dataset)[0]
    assert sample['inputs']['img'].shape == (1, 3, 160, 512)
    assert sample['data_samples'].cam_names == ['front']
    # Ten metres ahead and a tenth below the LiDAR: the middle of the image, in its frame.
    truth = sample['data_samples'].lidar2cam[0] @ sample['data_samples'].perturbation
    np.testing.assert_allclose(truth @ [10.3, 0, -0.1, 1], [0, 0, 10, 1], atol=1e-9)

    arguments = ['tools/train.py', str(folder / 'mine.py'), '--work-dir', str(tmp_path / 'work')]
    arguments[0] = str(repo / arguments[0])
    done = subprocess.run(
        [sys.executable, *arguments, '--cfg-options', 'train_cfg.max_iters=1'],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(repo)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'calib/num_poses: 1' in done.stdout


def test_every_transform_is_in_the_table(repo):
    from nclr_mm.datasets import transforms

    text = (repo / 'docs/data.md').read_text().split('## Transforms')[1]
    assert set(transforms.__all__) <= set(re.findall(r'`(\w+)`', text))
