"""Oracle: the run that was not interrupted, of a model that draws noise and of data that do."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.datasets.samplers import SeededDraws
from nclr_mm.engine.distributed import unwrapped_model
from tests.loaders import train
from tests.processes import run_in_processes


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


def run(work_dir, sampler, iterations, resume=False, seed=3, workers=0, hook=True, by_epoch=False):
    model = Noisy()
    torch.manual_seed(0)
    nn.init.normal_(model.layer.weight)
    nn.init.zeros_(model.layer.bias)
    interval = 1 if by_epoch else 2
    hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=by_epoch, interval=interval))
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
        train_cfg={
            'by_epoch': by_epoch,
            'max_epochs' if by_epoch else 'max_iters': iterations,
        },
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        default_hooks=hooks,
        randomness=dict(seed=seed),
        resume=resume,
        default_scope='mmdet3d',
        experiment_name=f'{work_dir.name}_{iterations}_{resume}',
    )
    train(runner)
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


def test_so_do_epochs_of_a_run_without_a_seed(tmp_path):
    sampler = 'SeededDefaultSampler'
    whole = run(tmp_path / 'whole', sampler, 2, seed=11, by_epoch=True)
    run(tmp_path / 'cut', sampler, 1, seed=11, by_epoch=True)
    resumed = run(tmp_path / 'cut', sampler, 2, resume=True, seed=None, by_epoch=True)
    assert len(resumed.seen) == len(whole.seen) / 2
    for ours, theirs in zip(resumed.seen, whole.seen[len(resumed.seen) :], strict=True):
        assert torch.equal(ours, theirs)
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


class Normed(BaseModel):
    """Has statistics of its batches, which differ from process to process."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.layer = nn.Linear(3, 1)

    def forward(self, *inputs, mode):
        values = self.layer(self.norm(torch.stack(inputs)))
        if mode == 'predict':
            return [dict(value=value.item()) for value in values]
        return dict(loss=(values - torch.rand(len(inputs), 1)).square().mean())


class Values(BaseMetric):
    default_prefix = 'each'

    def process(self, data_batch, data_samples):
        self.results += [sample['value'] for sample in data_samples]

    def compute_metrics(self, results):
        return {str(i): value for i, value in enumerate(results)}


class KeepMetrics(Hook):
    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics


def run_in_one_of_several(work_dir, iterations, resume=False):
    """Train and validate; returns weights, statistics and metrics."""
    Runner._log_env = lambda self, cfg: None
    os.environ['LOCAL_RANK'] = str(get_rank())  # of launchers
    torch.manual_seed(0)
    loader = dict(collate_fn=dict(type='pseudo_collate'))
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)
    keep = KeepMetrics()
    runner = Runner(
        model=Normed(),
        work_dir=work_dir,
        train_dataloader=dict(
            loader,
            dataset=Noise(ann_file='', serialize_data=False),
            sampler=dict(type='SeededInfiniteSampler', shuffle=True),
            batch_size=2,
            num_workers=1,  # loading in the process itself would seed what the model draws
        ),
        val_dataloader=dict(
            loader,
            dataset=PLACES,
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=1,
            num_workers=0,
        ),
        train_cfg=dict(by_epoch=False, max_iters=iterations, val_interval=3),
        val_cfg=dict(),
        val_evaluator=Evaluator([Values()]),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=3),
            exact_resume=dict(type='ExactResumeHook'),
        ),
        custom_hooks=[keep],
        launcher='pytorch',
        cfg=dict(model_wrapper_cfg=wrapper),
        randomness=dict(seed=3),
        resume=resume,
        default_scope='mmdet3d',
        experiment_name=f'{Path(work_dir).name}_{iterations}',
    )
    train(runner)
    return dict(state=unwrapped_model(runner).state_dict(), metrics=keep.metrics)


#: what is validated, an odd number of samples
PLACES = [torch.tensor([i, i**2, 1.0]) for i in range(5)]


def test_two_processes_that_are_cut_and_resumed(tmp_path):
    whole = run_in_processes(run_in_one_of_several, 2, tmp_path / '1', str(tmp_path / 'whole'), 6)
    cut = str(tmp_path / 'cut')
    run_in_processes(run_in_one_of_several, 2, tmp_path / '2', cut, 3)
    resumed = run_in_processes(run_in_one_of_several, 2, tmp_path / '3', cut, 6, True)
    for ours, theirs in zip(resumed, whole, strict=True):
        assert ours['metrics'] == theirs['metrics']
        for name, value in theirs['state'].items():
            assert torch.equal(ours['state'][name], value), name


def test_what_two_processes_validate_is_what_is_saved(tmp_path):
    found = run_in_processes(run_in_one_of_several, 2, tmp_path / '1', str(tmp_path / 'run'), 3)
    model = Normed().eval()
    model.load_state_dict(torch.load(tmp_path / 'run/iter_3.pth')['state_dict'])
    expected = [sample['value'] for sample in model(*PLACES, mode='predict')]
    for process in found:
        assert list(process['metrics'].values()) == pytest.approx(expected, abs=1e-5)
