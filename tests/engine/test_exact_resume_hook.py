"""Oracle: the run that was not interrupted, of a model that draws noise and of data that do."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.datasets.samplers import SeededDraws


@pytest.fixture(autouse=True)
def without_a_list_of_the_environment(monkeypatch):
    """It asks compilers for their versions, for seconds a run."""
    monkeypatch.setattr(Runner, '_log_env', lambda self, cfg: None)


class Noise(SeededDraws, BaseDataset):
    def load_data_list(self):
        return [dict(number=i) for i in range(7)]

    def prepare_data(self, idx):
        return torch.rand(3) + self.get_data_info(idx)['number']


class Noisy(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.seen = []

    def forward(self, inputs, mode):
        self.seen.append(inputs.clone())
        noise = torch.rand(len(inputs), 1)
        return dict(loss=(self.layer(inputs) - noise).square().mean())

    def train_step(self, data, optim_wrapper):
        losses = self(torch.stack(data), mode='loss')
        optim_wrapper.update_params(losses['loss'])
        return losses


def run(work_dir, sampler, iterations, resume=False, seed=3, workers=0, hook=True):
    model = Noisy()
    torch.manual_seed(0)
    nn.init.normal_(model.layer.weight)
    nn.init.zeros_(model.layer.bias)
    hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2))
    if hook:
        hooks['exact_resume'] = dict(type='ExactResumeHook')
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=Noise(ann_file='', serialize_data=False),
            sampler=dict(type=sampler, shuffle=True),
            batch_size=2,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=iterations),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        default_hooks=hooks,
        randomness=dict(seed=seed),
        resume=resume,
        default_scope='mmdet3d',
        experiment_name=f'{work_dir.name}_{iterations}_{resume}',
    )
    runner.train()
    return model


@pytest.mark.parametrize('sampler', ['SeededInfiniteSampler', 'SeededDefaultSampler'])
@pytest.mark.parametrize('cut', [2, 6])
def test_a_run_that_is_resumed_equals_one_that_is_not(sampler, cut, tmp_path, monkeypatch):
    # mmengine waits two seconds at the end of a round.
    monkeypatch.setattr('mmengine.runner.loops.time', SimpleNamespace(sleep=lambda seconds: None))
    whole = run(tmp_path / 'whole', sampler, 8)
    run(tmp_path / 'cut', sampler, cut)
    torch.rand(100)  # whatever else happens meanwhile
    resumed = run(tmp_path / 'cut', sampler, 8, resume=True, workers=2 if cut == 2 else 0)
    assert len(resumed.seen) == 8 - cut  # nothing is loaded twice
    for ours, theirs in zip(resumed.seen, whole.seen[cut:], strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(resumed.layer.weight, whole.layer.weight)
    assert torch.equal(resumed.layer.bias, whole.layer.bias)


def test_a_run_without_a_seed_takes_that_of_its_checkpoint(tmp_path):
    sampler = 'SeededInfiniteSampler'
    whole = run(tmp_path / 'whole', sampler, 4, seed=11)
    run(tmp_path / 'cut', sampler, 2, seed=11)
    resumed = run(tmp_path / 'cut', sampler, 4, resume=True, seed=None)
    assert torch.equal(resumed.layer.weight, whole.layer.weight)


def test_without_the_hook_it_is_another_run(tmp_path):
    sampler = 'SeededInfiniteSampler'
    whole = run(tmp_path / 'whole', sampler, 4, hook=False, workers=1)
    run(tmp_path / 'cut', sampler, 2, hook=False, workers=1)
    resumed = run(tmp_path / 'cut', sampler, 4, resume=True, hook=False, workers=1)
    assert not torch.equal(resumed.layer.weight, whole.layer.weight)


def test_other_samplers_are_left_as_they_are(tmp_path):
    run(tmp_path / 'cut', 'InfiniteSampler', 2)
    resumed = run(tmp_path / 'cut', 'InfiniteSampler', 4, resume=True)
    assert len(resumed.seen) == 2
