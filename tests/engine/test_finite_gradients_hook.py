"""A gradient that is not finite never reaches the weights."""

import pytest
import torch
from mmdet3d.structures import Det3DDataSample
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from nclr_mm.engine.hooks import FiniteGradientsHook


class Model(BaseModel):
    """Its gradient is what the batch holds."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        # The loss itself may be finite where its gradient is not.
        return dict(loss=_Slope.apply(self.weight, inputs['values'][0]))


class _Slope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, slope):
        ctx.save_for_backward(slope)
        return weight.sum()

    @staticmethod
    def backward(ctx, gradient):
        return ctx.saved_tensors[0] * gradient, None


class WithNorm(Model):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.norm(inputs['values'][0].view(-1, 1))
        return super().forward(inputs)


class Data(Dataset):
    metainfo = {}

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        sample = Det3DDataSample(metainfo=dict(lidar_path=f'scans/{index}.bin'))
        values = torch.tensor([float(self.values[index]), 1.0])
        return dict(inputs=dict(values=values), data_samples=sample)


def run(folder, values, max_skipped=0, model=None, wrapper=None, **optim_wrapper):
    """Train on the values, one a batch; returns the model."""
    model = model or Model()
    runner = Runner(
        model,
        str(folder),
        train_dataloader=dict(
            batch_size=1,
            num_workers=0,
            dataset=Data(values),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=len(values)),
        optim_wrapper=wrapper
        or dict(dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)), **optim_wrapper),
        custom_hooks=[FiniteGradientsHook(max_skipped)],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False)),
        default_scope='mmdet3d',
        experiment_name='_'.join(folder.parts[-2:]),
        log_level='WARNING',
    )
    runner.train()
    return model


def train(*arguments, **options):
    """The weight after a run."""
    return run(*arguments, **options).weight.detach().tolist()


@pytest.mark.parametrize('value', ['nan', 'inf', '-inf'])
@pytest.mark.parametrize('clip', [{}, dict(clip_grad=dict(max_norm=1.0))])
def test_the_run_ends_and_names_the_batch(tmp_path, value, clip):
    with pytest.raises(FloatingPointError, match=r'iteration 3 .*scans/2\.bin.* those of before'):
        train(tmp_path, [1, 1, value, 1], **clip)
    saved = sorted(path.name for path in tmp_path.glob('*.pth'))
    assert saved == ['iter_1.pth', 'iter_2.pth']


@pytest.mark.parametrize('clip', [{}, dict(clip_grad=dict(max_norm=1.0))])
def test_steps_may_be_left_out(tmp_path, clip):
    # Of two good steps with momentum nothing is lost or added by those between.
    found = train(tmp_path / 'a', [1, 'nan', 'inf', 1], max_skipped=2, **clip)
    assert found == pytest.approx(train(tmp_path / 'b', [1, 1], **clip))


def test_only_so_many_in_a_row_are_left_out(tmp_path):
    good = train(tmp_path / 'a', [1, 'nan', 'nan', 1, 'nan', 1], max_skipped=2)
    assert good == pytest.approx(train(tmp_path / 'b', [1, 1, 1]))
    with pytest.raises(FloatingPointError, match='iteration 4'):
        train(tmp_path / 'c', [1, 'nan', 'nan', 'nan', 1], max_skipped=2)


def test_steps_that_are_left_out_leave_buffers_alone(tmp_path):
    """As the statistics of a batch norm, which one such value would spoil for good."""
    found = [
        run(tmp_path / name, values, max_skipped=2, model=model).norm.state_dict()
        for name, values, model in (
            ('a', [1, 'nan', 'inf', 3], WithNorm()),
            ('b', [1, 3], WithNorm()),
        )
    ]
    assert found[0]['num_batches_tracked'] == 2
    torch.testing.assert_close(*found)


def test_large_gradients_are_left_as_they_are(tmp_path):
    # 0.1 * 1e15 off each step, and the momentum of the first.
    assert train(tmp_path, [1e15, 1e15])[0] == pytest.approx(-0.1e15 * (1 + 1.9))


def test_accumulated_gradients(tmp_path):
    with pytest.raises(FloatingPointError, match='iteration 4 '):
        train(tmp_path, [1, 1, 'nan', 1], accumulative_counts=2)


@pytest.mark.parametrize('fused', [False, True])
def test_steps_of_a_loss_scaler_are_its_own(fused):
    hook = FiniteGradientsHook()
    weight = nn.Parameter(torch.ones(2))
    optimiser = torch.optim.AdamW([weight], lr=0.1, fused=fused)
    optimiser.register_step_pre_hook(hook._check)
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0)
    scaler.scale((weight * torch.tensor([1.0, float('inf')])).sum()).backward()
    scaler.step(optimiser)
    scaler.update()
    assert weight.tolist() == [1, 1] and scaler.get_scale() == 1
    weight.grad = torch.tensor([float('inf'), 1.0])
    with pytest.raises(FloatingPointError, match='unknown'):
        optimiser.step()


class Scaled(OptimWrapper):
    """Scales the loss as mmengine's AmpOptimWrapper does, which on CPUs has no need to."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=4.0)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()


def run_scaled(folder, values, fused=False, **options):
    model = WithNorm()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)
    return run(folder, values, model=model, wrapper=Scaled(optimizer=optimiser, **options))


@pytest.mark.parametrize('fused', [False, True])
def test_steps_that_a_scaler_leaves_out_leave_buffers_alone(tmp_path, fused):
    found = run_scaled(tmp_path / 'a', [1, 'nan', 'inf', 3], fused).state_dict()
    expected = run_scaled(tmp_path / 'b', [1, 3], fused).state_dict()
    assert expected['norm.num_batches_tracked'] == 2
    torch.testing.assert_close(found, expected)


def test_a_scaler_that_leaves_out_every_step_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(FiniteGradientsHook, 'SCALER_PATIENCE', 3)
    run_scaled(tmp_path / 'a', ['nan', 'nan', 1, 'nan', 'nan'])
    with pytest.raises(FloatingPointError, match=r'left out 3 steps .* iteration 4: scans/3\.bin'):
        run_scaled(tmp_path / 'b', [1, 'nan', 'nan', 'nan', 1])
    # Of two iterations a step, three steps are six.
    with pytest.raises(FloatingPointError, match='iteration 6'):
        run_scaled(tmp_path / 'c', ['nan', 1, 'nan', 1, 'nan', 1, 1, 1], accumulative_counts=2)


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match='max_skipped must be at least 0, got -1'):
        FiniteGradientsHook(-1)
