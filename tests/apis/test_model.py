"""nclr_mm.apis.init_model: all weights or an error."""

from collections import OrderedDict

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


VOXELNET = 'configs/nclr/nclr_second-small_spconv_lite0_1xb1-2500i_sim-kitti.py'


def behind(prefix, state, **more):
    outer = OrderedDict((prefix + name, value) for name, value in state.items())
    outer.update(more)
    outer._metadata = OrderedDict(
        (f'{prefix}{name}'.rstrip('.'), version) for name, version in state._metadata.items()
    )
    return outer


@pytest.mark.parametrize('config', [CONFIG, VOXELNET], ids=['UNet', 'VoxelNet'])
@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: state,
        lambda state: dict(model_state=state),
        lambda state: dict(model=behind('module.', state)),
        lambda state: dict(state_dict=behind('model.', state, criterion=torch.ones(1))),
        lambda state: dict(state_dict=dict(state)),
        lambda state: dict(model=dict(behind('net.', state))),
        lambda state: dict(
            state_dict={n.replace('backbone.', 'backbone.module.', 1): v for n, v in state.items()}
        ),
    ],
    ids=['bare', 'OpenPCDet', 'processes', 'Lightning', 'no versions', 'net', 'inside'],
)
def test_wrapped_weights_are_found(config, wrap, repo, tmp_path):
    torch.manual_seed(1)
    own = init_model(repo / config).state_dict()
    torch.save(wrap(own), tmp_path / 'wrapped.pth')
    torch.manual_seed(2)
    loaded = init_model(repo / config, tmp_path / 'wrapped.pth').state_dict()
    assert sum(tensor.dim() == 5 for tensor in own.values()) > 5
    assert all(torch.equal(loaded[name], tensor) for name, tensor in own.items())


def test_kernels_of_spconv_1_are_refused(saved, repo, tmp_path):
    """(z, y, x, in, out) without versions, which only mmdet3d's own loading turns."""
    state = {
        name: value.permute(1, 2, 3, 4, 0) if value.dim() == 5 else value
        for name, value in saved[0].state_dict().items()
    }
    torch.save(dict(state_dict=state), tmp_path / 'old.pth')
    with pytest.raises(ValueError, match=r'old\.pth does not fit .* tensors of another shape'):
        init_model(repo / CONFIG, tmp_path / 'old.pth')


def test_what_wrapped_weights_lack_is_named(saved, repo, tmp_path):
    state = saved[0].state_dict()
    torch.save(dict(model=behind('net.', state, **{'net.fc': torch.ones(1)})), tmp_path / 'fc.pth')
    message = r'fc\.pth \(model, prefix net\.\) .* holds 1 tensors that it has not, first fc\.$'
    with pytest.raises(ValueError, match=message):
        init_model(repo / CONFIG, tmp_path / 'fc.pth')


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
