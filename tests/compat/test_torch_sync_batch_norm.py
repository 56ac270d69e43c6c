"""Oracle: torch's BatchNorm over the values of all processes at once."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

import nclr_mm  # noqa: F401 (applies the workaround)
from tests.processes import run_in_processes

#: values of each process; none in the second
COUNTS = (5, 0, 3)
CHANNELS = 4


def test_upstream_fault(without_workarounds, tmp_path):
    error = without_workarounds(
        'import torch\n'
        f"torch.distributed.init_process_group('gloo', 'file://{tmp_path}/store', rank=0,"
        ' world_size=1)\n'
        'torch.nn.SyncBatchNorm(2)(torch.ones(3, 2))\n'
    )
    assert 'expected input tensor to be on' in error


def whole(shape):
    generator = torch.Generator().manual_seed(0)
    # A large mean, where the difference of squares would cancel.
    return 1000 + torch.randn((sum(COUNTS), CHANNELS, *shape), generator=generator)


def norm_of(kind, momentum):
    norm = kind(CHANNELS, momentum=momentum)
    with torch.no_grad():
        norm.weight.copy_(torch.arange(1.0, 5.0))
        norm.bias.copy_(torch.arange(4.0))
    return norm


def objective(outputs, first):
    """A sum that weighs all values differently."""
    place = torch.arange(first, first + len(outputs)) + 1.0
    return (outputs.sigmoid().flatten(1).sum(1) * place).sum()


def train_step(shape, momentum):
    rank = dist.get_rank()
    first = sum(COUNTS[:rank])
    values = whole(shape)[first : first + COUNTS[rank]].requires_grad_()
    norm = norm_of(nn.SyncBatchNorm, momentum)
    outputs = norm(values)
    objective(outputs, first).backward()
    norm.eval()
    return dict(
        outputs=outputs.detach(),
        grad=values.grad,
        weight=norm.weight.grad,
        bias=norm.bias.grad,
        buffers=dict(norm.named_buffers()),
        later=norm(values).detach(),
    )


@pytest.mark.parametrize(('shape', 'momentum'), [((), 0.1), ((2, 3), None)])
def test_all_processes_are_normalised_as_one(tmp_path, shape, momentum):
    results = run_in_processes(train_step, len(COUNTS), tmp_path / 'run', shape, momentum)

    values = whole(shape).requires_grad_()
    norm = norm_of(nn.BatchNorm2d if shape else nn.BatchNorm1d, momentum)
    outputs = norm(values)
    objective(outputs, 0).backward()

    def joined(name):
        return torch.cat([result[name] for result in results])

    torch.testing.assert_close(joined('outputs'), outputs.detach(), atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(joined('grad'), values.grad, atol=5e-3, rtol=1e-3)
    for name, expected in (('weight', norm.weight.grad), ('bias', norm.bias.grad)):
        total = sum(result[name] for result in results)
        torch.testing.assert_close(total, expected, atol=2e-3, rtol=1e-3)
    later = F.batch_norm(
        values.detach(), norm.running_mean, norm.running_var, norm.weight, norm.bias
    )
    for result in results:
        torch.testing.assert_close(result['buffers'], dict(norm.named_buffers()), rtol=1e-4, atol=0)
    torch.testing.assert_close(joined('later'), later.detach(), atol=1e-2, rtol=1e-3)


def test_one_process_without_a_group_is_plain_batch_norm():
    values = whole(())
    outputs = norm_of(nn.SyncBatchNorm, 0.1)(values)
    torch.testing.assert_close(outputs, norm_of(nn.BatchNorm1d, 0.1)(values))
