"""Pretraining as a user runs it: the commands of the README on small data."""

import json
import os
import subprocess
import sys

import pytest
import torch

import nclr_mm  # noqa: F401 (allows loading the runner's checkpoints)
from nclr_mm.datasets import converters
from tests.datasets.layouts import make_nuscenes
from tests.programs import run_program

CONFIG = 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-2000i_sim-nus.py'
ITERS = 4


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A data set in the nuScenes layout, small and without sense."""
    root = make_nuscenes(tmp_path_factory.mktemp('data'), ('a', 'b'), frames=2)
    (root / 'splits.json').write_text(json.dumps(dict(train=['a'], val=['b'])))
    converters.create_nuscenes_infos(root)
    return root


def command(repo, *arguments, **environment):
    done = run_program(*arguments, cwd=repo, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def options(data):
    return [
        '--cfg-options',
        *(f'{name}_dataloader.dataset.data_root={data}/' for name in ('train', 'val', 'test')),
        f'train_cfg.max_iters={ITERS}',
        f'train_cfg.val_interval={ITERS}',
        'custom_hooks.0.begin=2',
        'default_hooks.checkpoint.interval=2',
        'default_hooks.logger.interval=1',
        'model.calib_head.test_cfg.num_voxels=64',
        'train_dataloader.dataset.pipeline.4.scale=(128,64)',
        *(f'{name}_dataloader.dataset.pipeline.3.scale=(128,64)' for name in ('val', 'test')),
    ]


def test_pretrain_evaluate_and_fine_tune(repo, data, tmp_path):
    log = command(repo, 'tools/train.py', CONFIG, '--work-dir', tmp_path, *options(data))
    assert 'Pose loss on' in log and 'eta' in log and 'camera/rot_err_median' in log
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    losses = [row for row in rows if 'loss_contrast' in row]
    assert [row['step'] for row in losses] == [1, 2, 3, 4]
    assert ['loss_pose_rotation' in row for row in losses] == [False, False, True, True]
    assert list(tmp_path.glob('*/vis_data/events.out.tfevents.*'))  # TensorBoard
    assert list((tmp_path / 'calibration').glob('val_*/*.jpg'))

    # Cut at the second iteration and resumed, the run ends at the last one, pose loss on.
    checkpoint = tmp_path / f'iter_{ITERS}.pth'
    checkpoint.unlink()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_2.pth'))
    train = ('tools/train.py', CONFIG, '--work-dir', tmp_path, '--resume')
    log = command(repo, *train, *options(data))
    assert 'resumed epoch' in log and 'Pose loss on' in log and checkpoint.is_file()

    log = command(repo, 'tools/test.py', CONFIG, checkpoint, '--work-dir', tmp_path, *options(data))
    assert 'camera/num_poses: 12' in log

    # A segmentor of mmdet3d takes the backbone from the checkpoint, every tensor by value.
    from mmdet3d.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmengine.runner import load_checkpoint

    init_default_scope('mmdet3d')
    backbone = Config.fromfile(repo / CONFIG).model.backbone
    backbone.type = 'MinkUNetBackbone'
    segmentor = MODELS.build(
        dict(
            type='MinkUNet',
            backbone=backbone,
            decode_head=dict(
                type='MinkUNetHead',
                channels=48,
                num_classes=3,
                loss_decode=dict(type='mmdet.CrossEntropyLoss'),
            ),
        )
    )
    load_checkpoint(segmentor, str(checkpoint), map_location='cpu')
    saved = torch.load(checkpoint, map_location='cpu')['state_dict']
    state = segmentor.state_dict()
    names = [n for n in state if n.startswith('backbone.')]
    assert names and all(torch.equal(state[n], saved[n]) for n in names)


@pytest.mark.slow
def test_two_processes_without_a_gpu(repo, data, tmp_path):
    """torchrun, gloo and mmengine's loop agree on a machine without CUDA."""
    if torch.cuda.is_available():
        pytest.skip('this machine has a GPU; the test is of machines without one')
    done = subprocess.run(
        [
            *('bash', 'tools/dist_train.sh', CONFIG, '2', '--work-dir', str(tmp_path)),
            *options(data),
        ],
        cwd=repo,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable, 'PORT': '29611'},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert 'Distributed training: True' in done.stdout and 'GPU number: 2' in done.stdout
    assert 'camera/num_poses: 12' in done.stdout  # each pose once, whatever process solved it
    saved = torch.load(tmp_path / f'iter_{ITERS}.pth', map_location='cpu')
    assert saved['meta']['iter'] == ITERS
    assert all(v.isfinite().all() for v in saved['state_dict'].values() if v.is_floating_point())


@pytest.mark.slow
def test_demo_runs_once_and_reports(repo, tmp_path):
    arguments = [
        *('tools/demo.py', '--work-dir', tmp_path / 'work', '--data-dir', tmp_path / 'data'),
        *('--frames', '10', '--iters', '6'),
    ]
    log = command(repo, *arguments)
    assert 'camera/rot_err_median' in log
    report = tmp_path / 'work/report'
    text = (report / 'README.md').read_text()
    for name in ('frames: untrained', 'street: trained', 'curves.png', 'image_2'):
        assert name in text
    pictures = [line.split('(')[1].rstrip(')') for line in text.splitlines() if line[:2] == '![']
    assert len(pictures) == 2 and all((report / name).stat().st_size > 1000 for name in pictures)
    again = command(repo, *arguments)
    assert again.count('done before') == 4 and '$ python' not in again
