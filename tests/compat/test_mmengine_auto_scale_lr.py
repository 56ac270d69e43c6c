"""Learning rates of a run whose batch is a quarter of what the config is for."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from nclr_mm.compat.mmengine_auto_scale_lr import scaled_schedulers

ITERS = 20


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x, mode='tensor'):
        return dict(loss=self.layer(x).mean())


def rates(tmp_path, schedulers, enable):
    """The learning rate of each step."""
    found = []
    runner = Runner(
        Model(),
        str(tmp_path),
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            dataset=torch.ones(100, 1),
            sampler=dict(type='InfiniteSampler'),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=ITERS),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3)),
        param_scheduler=schedulers,
        auto_scale_lr=dict(enable=enable, base_batch_size=16),
        default_hooks=dict(checkpoint=None, logger=None),
        experiment_name=f'rates{enable}{len(schedulers)}',
    )
    runner.model.train_step = lambda data, optim_wrapper: (
        found.append(optim_wrapper.optimizer.param_groups[0]['lr'])
        or BaseModel.train_step(runner.model, dict(x=data), optim_wrapper)
    )
    runner.train()
    return found


CYCLE = [
    dict(type='CosineAnnealingLR', T_max=8, eta_min=1e-2, end=8, by_epoch=False),
    dict(type='CosineAnnealingLR', T_max=12, eta_min=1e-7, begin=8, end=ITERS, by_epoch=False),
]
ONE_CYCLE = [dict(type='OneCycleLR', eta_max=1e-2, total_steps=ITERS, by_epoch=False)]


@pytest.mark.parametrize('schedulers', [CYCLE, ONE_CYCLE], ids=['cosine', 'one cycle'])
def test_the_whole_schedule_is_scaled(tmp_path, schedulers):
    plain = rates(tmp_path, schedulers, enable=False)
    assert max(plain) == pytest.approx(1e-2, rel=0.1)
    scaled = rates(tmp_path, schedulers, enable=True)
    assert scaled == pytest.approx([rate / 4 for rate in plain], rel=1e-6)


def test_what_is_no_learning_rate_is_left():
    given = dict(
        first=[dict(type='CosineAnnealingMomentum', eta_min=0.85), dict(type='StepLR', gamma=0.1)],
        second=dict(type='CosineAnnealingLR', eta_min=1.0, eta_min_ratio=None),
    )
    scaled = scaled_schedulers(given, 0.5)
    assert scaled['first'] == given['first']
    assert scaled['second'] == dict(type='CosineAnnealingLR', eta_min=0.5, eta_min_ratio=None)
    assert given['second']['eta_min'] == 1.0
