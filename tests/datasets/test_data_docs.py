"""The examples of docs/data.md run as they are written."""

import json
import re

import numpy as np
import pytest
from mmdet3d.registry import DATASETS
from mmengine.config import Config

from tests.datasets.layouts import write_image, write_scan
from tests.programs import run_program


@pytest.fixture(scope='module')
def blocks(repo):
    text = (repo / 'docs/data.md').read_text()
    return re.findall(r'```python\n(.*?)```', text.split('## Your own rig')[1], flags=re.S)


def test_your_own_rig(blocks, repo, tmp_path, monkeypatch):
    info_file, config_text = blocks
    root = tmp_path / 'data/my_rig'
    for i in range(5):
        write_scan(root / f'scans/{i:06d}.bin', 4)
        write_image(root / f'front/{i:06d}.png', 400, 640)
    # The camera looks along x of the LiDAR; it sits 0.3 m in front of it, 0.1 m lower.
    front = [[0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]]
    (root / 'K.json').write_text('{"front": [[700, 0, 319.5], [0, 700, 199.5], [0, 0, 1]]}')
    (root / 'T.json').write_text(json.dumps(dict(front=front)))
    monkeypatch.chdir(tmp_path)
    exec(info_file, {})

    folder = tmp_path / 'configs/nclr'
    folder.mkdir(parents=True)
    (tmp_path / 'configs/_base_').symlink_to(repo / 'configs/_base_')
    (folder / 'mine.py').write_text(config_text)
    config = Config.fromfile(folder / 'mine.py')
    sample = DATASETS.build(config.train_dataloader.dataset)[0]
    assert sample['inputs']['img'].shape == (1, 3, 160, 512)
    assert len(DATASETS.build(config.train_dataloader.dataset)) == 4
    assert sample['data_samples'].cam_names == ['front']
    truth = sample['data_samples'].lidar2cam[0] @ sample['data_samples'].perturbation
    np.testing.assert_allclose(truth @ [10.3, 0, -0.1, 1], [0, 0, 10, 1], atol=1e-9)

    def run(tool, *arguments):
        done = run_program(repo / tool, folder / 'mine.py', *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    run('tools/browse_dataset.py', '-o', str(tmp_path / 'browse'))
    assert len(list((tmp_path / 'browse').glob('*.jpg'))) >= 1
    options = ['train_cfg.max_iters=1', 'train_cfg.val_interval=1']
    out = run('tools/train.py', '--work-dir', str(tmp_path / 'work'), '--cfg-options', *options)
    assert 'camera/num_poses: 1' in out


def test_every_transform_is_in_the_table(repo):
    from nclr_mm.datasets import transforms

    text = (repo / 'docs/data.md').read_text().split('## Transforms')[1]
    assert set(transforms.__all__) <= set(re.findall(r'`(\w+)`', text))
