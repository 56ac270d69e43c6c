"""The hooks in mmengine's own runner, with a small model."""

import cv2
import numpy as np
import pytest
import torch
from mmdet3d.registry import HOOKS
from mmdet3d.structures import Det3DDataSample
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from nclr_mm.engine import CalibrationVisualizationHook, PoseLossSwitchHook

BATCHES = 3


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.with_pose_loss = False
        self.weight = nn.Parameter(torch.ones(1))


class Model(BaseModel):
    """Records the switch at each training step; its prediction is the truth."""

    def __init__(self):
        super().__init__()
        self.calib_head = Head()
        self.history = []

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'loss':
            self.history.append(self.calib_head.with_pose_loss)
            return dict(loss=self.calib_head.weight.sum())
        for points, sample in zip(inputs['points'], data_samples):
            number = len(sample.metainfo['lidar2cam'])
            sample.pred_calib = BaseDataElement(
                metainfo=dict(img_shape=(40, 60)),
                lidar2cam=torch.as_tensor(sample.metainfo['lidar2cam']),
                valid=torch.tensor([True, False]),
                num_inliers=torch.zeros(number, dtype=torch.int),
                voxels=points[:, :3],
                points=points[:, :3],
                point_scores=torch.ones(number, len(points)),
                pixel_scores=torch.zeros(number, 10, 15),
                match_points=torch.zeros(number, 0, 3),
                match_pixels=torch.zeros(number, 0, 2),
                match_mask=torch.zeros(number, 0, dtype=torch.bool),
            )
        return data_samples


class Data(Dataset):
    metainfo = {}

    def __init__(self, number):
        self.number = number

    def __len__(self):
        return self.number

    def __getitem__(self, index):
        image = torch.zeros(2, 3, 40, 60, dtype=torch.uint8)
        image[0, 0] = 200  # the first camera is blue: images are BGR
        cam2img = np.array([[50.0, 0, 30], [0, 50, 20], [0, 0, 1]])
        sample = Det3DDataSample(
            metainfo=dict(
                sample_idx=f'seq/{index}',
                lidar2cam=np.stack([np.eye(4)] * 2),
                cam2img=np.stack([cam2img] * 2),
                cam_names=['left', 'right'],
                perturbation=np.eye(4),
            )
        )
        points = torch.tensor([[0.0, 0, 5, 1], [1, 0, 6, 1]])
        return dict(inputs=dict(points=points, img=image), data_samples=sample)


def _loader(number, batch_size=1):
    return dict(
        batch_size=batch_size,
        num_workers=0,
        dataset=Data(number),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )


def _train(folder, model, hooks, resume=False, by_epoch=True, length=4, **kwargs):
    loop = dict(by_epoch=True, max_epochs=length) if by_epoch else None
    runner = Runner(
        model,
        str(folder),
        train_dataloader=_loader(BATCHES),
        train_cfg=loop or dict(by_epoch=False, max_iters=length),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=hooks,
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=by_epoch),
            logger=dict(type='LoggerHook', interval=1),
        ),
        default_scope='mmdet3d',
        resume=resume,
        experiment_name=f'{folder.name}_{np.random.default_rng().integers(2**40)}',
        log_level='WARNING',
        **kwargs,
    )
    runner.train()
    return runner


def test_switch_by_epoch(tmp_path):
    model = Model()
    _train(tmp_path, model, [PoseLossSwitchHook(begin=2)])
    assert model.history == [False] * 2 * BATCHES + [True] * 2 * BATCHES


def test_switch_by_iteration(tmp_path):
    model = Model()
    hook = dict(type='PoseLossSwitchHook', begin=4, by_epoch=False)
    _train(tmp_path, model, [HOOKS.build(hook)], by_epoch=False, length=7)
    assert model.history == [False] * 4 + [True] * 3


@pytest.mark.parametrize('by_epoch, begin, first, last', [(True, 2, 3, 4), (False, 4, 5, 7)])
def test_switch_after_resuming(tmp_path, by_epoch, begin, first, last):
    """Resumed after the switch, it is on from the first step; the same when resumed before it."""
    for stop in (begin - 1, first):
        folder = tmp_path / str(stop)
        kwargs = dict(by_epoch=by_epoch)
        _train(folder, Model(), [PoseLossSwitchHook(begin, by_epoch)], length=stop, **kwargs)
        model = Model()
        hooks = [PoseLossSwitchHook(begin, by_epoch)]
        _train(folder, model, hooks, resume=True, length=last, **kwargs)
        steps = BATCHES if by_epoch else 1
        expected = [i >= begin for i in range(stop, last) for _ in range(steps)]
        assert model.history == expected


def test_switch_reaches_through_a_wrapper(tmp_path, monkeypatch):
    """The hook unwraps as mmengine does; here the wrapper is a plain data parallel one."""

    class Wrapper(nn.DataParallel):
        def train_step(self, data, optim_wrapper):
            return self.module.train_step(data, optim_wrapper)

    model = Model()
    monkeypatch.setattr(Runner, 'wrap_model', lambda self, cfg, model: Wrapper(model))
    runner = _train(tmp_path, model, [PoseLossSwitchHook(begin=1)], length=2)
    assert isinstance(runner.model, Wrapper)
    assert model.history == [False] * BATCHES + [True] * BATCHES


def test_switch_refuses_a_model_without_the_switch(tmp_path):
    model = Model()
    del model.calib_head.with_pose_loss
    with pytest.raises(ValueError, match='with_pose_loss'):
        _train(tmp_path, model, [PoseLossSwitchHook(begin=1)])
    assert model.history == []


def test_switch_refuses_epochs_without_epochs(tmp_path):
    with pytest.raises(ValueError, match='by_epoch'):
        _train(tmp_path, Model(), [PoseLossSwitchHook(begin=1)], by_epoch=False)
    with pytest.raises(ValueError, match='begin'):
        PoseLossSwitchHook(begin=-1)


def _validate(folder, hook, test=False):
    stage = 'test' if test else 'val'
    runner = Runner(
        Model(),
        str(folder),
        **{
            f'{stage}_dataloader': _loader(7, batch_size=2),
            f'{stage}_cfg': dict(),
            f'{stage}_evaluator': Evaluator([]),
        },
        custom_hooks=[hook],
        visualizer=dict(
            type='mmengine.Visualizer',
            name=f'{folder.name}_{stage}',
            vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
        ),
        default_scope='mmdet3d',
        experiment_name=f'{folder.name}_{stage}',
        log_level='WARNING',
    )
    getattr(runner, stage)()
    return sorted(path.name for path in folder.glob(f'calibration/{stage}*/*'))


def test_pictures_of_some_samples(tmp_path, monkeypatch):
    monkeypatch.delenv('DISPLAY', raising=False)
    names = _validate(tmp_path, CalibrationVisualizationHook(interval=2, max_samples=3))
    # Samples 0, 2 and 4 of seven; slashes in names are replaced.
    assert names == [f'seq_{i}_{camera}.jpg' for i in (0, 2, 4) for camera in ('left', 'right')]
    left, right = (
        cv2.imread(str(tmp_path / 'calibration' / 'val_0' / f'seq_0_{camera}.jpg'))
        for camera in ('left', 'right')
    )
    assert left.shape == right.shape and left.shape[1] == 2 * 600 + 18
    # The first panel is the image: blue in the left camera, black in the right one.
    assert np.abs(left[200:400, 100:500].astype(int) - [200, 0, 0]).max() < 12
    assert right[200:400, 100:500].max() < 12
    assert list(tmp_path.rglob('events.out.tfevents*'))
    assert len(list(tmp_path.rglob('vis_image/*.png'))) == len(names)


def test_pictures_while_testing(tmp_path):
    hook = HOOKS.build(dict(type='CalibrationVisualizationHook', max_samples=1))
    assert _validate(tmp_path, hook, test=True) == ['seq_0_left.jpg', 'seq_0_right.jpg']


@pytest.mark.parametrize('kwargs', [dict(interval=0), dict(max_samples=0)])
def test_wrong_arguments_are_named(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        CalibrationVisualizationHook(**kwargs)
