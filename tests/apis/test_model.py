"""nclr_mm.apis.init_model: all weights or an error."""

import pytest
import torch
from mmengine.config import Config

from nclr_mm.apis import init_model

CONFIG = 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py'
BIAS = 'calib_head.point_in.bias'


@pytest.fixture(scope='module')
def saved(repo, tmp_path_factory):
    """A model with random weights, and its checkpoint."""
    torch.manual_seed(1)
    model = init_model(repo / CONFIG)
    path = tmp_path_factory.mktemp('weights') / 'model.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return model, path


def test_every_weight_is_loaded(saved, repo):
    model, path = saved
    torch.manual_seed(2)
    loaded = init_model(repo / CONFIG, path)
    assert not loaded.training
    assert loaded.cfg.filename.endswith('sim-streets.py')
    own = model.state_dict()
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, own[name]), name


def test_half_precision_is_widened(saved, repo, tmp_path):
    model, _ = saved
    state = model.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            state[name] = tensor.half()
    torch.save(dict(state_dict=state), tmp_path / 'half.pth')
    loaded = init_model(repo / CONFIG, tmp_path / 'half.pth')
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == model.state_dict()[name].dtype
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda s: s.pop('backbone.conv_input.0.0.weight'), 'lacks 1 of its'),
        (lambda s: s.update(surplus=torch.zeros(1)), 'holds 1 tensors that it has not, first surp'),
        (
            lambda s: s.update({'calib_head.point_in.bias': torch.zeros(1)}),
            'has 1 tensors of another shape, first calib_head.point_in.bias',
        ),
        (
            lambda s: s.update({BIAS: torch.full_like(s[BIAS], float('nan'))}),
            f'has 1 tensors of other kinds of numbers, or not finite, first {BIAS}',
        ),
        (lambda s: s.update({BIAS: s[BIAS].to(torch.complex64)}), f'or not finite, first {BIAS}'),
        (lambda s: s.update({BIAS: s[BIAS].to_sparse()}), f'or not finite, first {BIAS}'),
    ],
)
def test_weights_that_do_not_fit(spoil, message, saved, repo, tmp_path):
    state = saved[0].state_dict()
    spoil(state)
    torch.save(dict(state_dict=state), tmp_path / 'odd.pth')
    with pytest.raises(ValueError, match=message) as caught:
        init_model(repo / CONFIG, tmp_path / 'odd.pth')
    assert 'odd.pth' in str(caught.value)


def test_files_that_are_missing(repo, tmp_path):
    with pytest.raises(FileNotFoundError, match='config'):
        init_model(tmp_path / 'config.py')
    with pytest.raises(FileNotFoundError, match=r'model\.pth'):
        init_model(repo / CONFIG, tmp_path / 'model.pth')
    with pytest.raises(ValueError, match='no model'):
        init_model(Config(dict(a=1)))


def test_settings_of_the_config(repo):
    model = init_model(repo / CONFIG, cfg_options={'model.calib_head.test_cfg.max_matches': 7})
    assert model.calib_head.test_cfg['max_matches'] == 7
