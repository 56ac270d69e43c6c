"""Counters of a runner, without the data that the training would read."""

import inspect

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook, ProfilerHook
from mmengine.model import BaseModel
from mmengine.runner import Runner

import nclr_mm  # noqa: F401 (applies the workaround)


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=self.weight.sum()) if mode == 'loss' else [dict(value=1.0)]


class Value(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [sample['value'] for sample in data_samples]

    def compute_metrics(self, results):
        return dict(value=sum(results))


class Asks(Hook):
    """What the runner answers after each sample."""

    def __init__(self, limit):
        self.limit = limit
        self.answers = []

    def _after_iter(self, runner, batch_idx, data_batch=None, outputs=None, mode='train'):
        self.answers.append((mode, runner.iter, runner.epoch, getattr(runner, self.limit)))


SAMPLES = [dict(inputs=torch.zeros(1))] * 3


def make_runner(work_dir, train_cfg, train_data, **options):
    def loader(dataset):
        sampler = dict(type='DefaultSampler')
        return dict(dataset=dataset, batch_size=1, num_workers=0, sampler=sampler)

    evaluations = {}
    for name in ('val', 'test'):
        evaluations[f'{name}_dataloader'] = loader(SAMPLES)
        evaluations[f'{name}_evaluator'] = [Value()]
        evaluations[f'{name}_cfg'] = dict()
    return Runner(
        Model(),
        str(work_dir),
        train_dataloader=loader(train_data),
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        log_level='WARNING',
        experiment_name=work_dir.name,
        **evaluations,
        **options,
    )


def test_upstream_fault():
    """The counters of mmengine ask for the loop, which builds it."""
    assert 'self.build_train_loop' in inspect.getsource(Runner.train_loop.fget)
    for name in ('iter', 'epoch', 'max_iters', 'max_epochs'):
        original = inspect.getclosurevars(getattr(Runner, name).fget).nonlocals['original']
        assert 'self.train_loop' in inspect.getsource(original)


@pytest.mark.parametrize('kind', ['val', 'test'])
@pytest.mark.parametrize(
    ('limit', 'number'), [('max_iters', 5), ('max_epochs', 2)], ids=['iterations', 'epochs']
)
def test_evaluations_need_no_training_data(kind, limit, number, tmp_path):
    by_epoch = limit == 'max_epochs'
    hooks = [Asks(limit), ProfilerHook(by_epoch=by_epoch, profile_times=1)]
    cfg = {'by_epoch': by_epoch, limit: number}
    runner = make_runner(tmp_path, cfg, dict(type='NoSuchDataset'), custom_hooks=hooks)
    assert getattr(runner, kind)() == dict(value=3)
    assert hooks[0].answers == [(kind, 0, 0, number)] * 3


def test_a_training_counts_as_before(tmp_path):
    hook = Asks('max_iters')
    cfg = dict(by_epoch=True, max_epochs=2)
    runner = make_runner(tmp_path, cfg, SAMPLES, custom_hooks=[hook])
    assert runner.max_iters == 6  # of the loop, which is built for it
    runner.train()
    steps = [answer[1:] for answer in hook.answers if answer[0] == 'train']
    assert steps == [(i, i // 3, 6) for i in range(6)]
    assert [answer[1:3] for answer in hook.answers if answer[0] == 'val'] == [
        *([(3, 1)] * 3),
        *([(6, 2)] * 3),
    ]
