"""Oracle: a plain bfloat16 autocast step written out with torch alone."""

import copy

import pytest
import torch
from mmengine.optim import AmpOptimWrapper
from torch import nn

import nclr_mm  # noqa: F401 (applies the workaround)

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='concerns machines without CUDA')


def test_upstream_fault(without_workarounds):
    error = without_workarounds(
        'import torch\n'
        'from mmengine.optim import AmpOptimWrapper\n'
        'AmpOptimWrapper(optimizer=torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1))\n'
    )
    assert 'is only available training' in error


def test_a_step_in_bfloat16():
    torch.manual_seed(0)
    network = nn.Linear(8, 4)
    reference = copy.deepcopy(network)
    inputs = torch.randn(16, 8)

    wrapper = AmpOptimWrapper(optimizer=torch.optim.SGD(network.parameters(), lr=0.1))
    with wrapper.optim_context(network):
        outputs = network(inputs)
        loss = outputs.float().pow(2).mean()
    assert outputs.dtype == torch.bfloat16
    wrapper.update_params(loss)

    with torch.autocast('cpu', torch.bfloat16):
        expected = reference(inputs).float().pow(2).mean()
    expected.backward()
    for found, before in zip(network.parameters(), reference.parameters(), strict=True):
        assert before.grad.abs().max() > 0
        torch.testing.assert_close(found.data, before.data - 0.1 * before.grad)


def test_the_state_can_be_saved_and_loaded():
    network = nn.Linear(2, 2)
    wrapper = AmpOptimWrapper(optimizer=torch.optim.AdamW(network.parameters()))
    wrapper.update_params(network(torch.ones(1, 2)).sum())
    wrapper.load_state_dict(copy.deepcopy(wrapper.state_dict()))
    assert wrapper.optimizer.state_dict()['state'][0]['step'] == 1
