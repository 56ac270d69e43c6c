"""Weights to give away."""

import hashlib

import pytest
import torch
from torch import nn

from nclr_mm.checkpoint import publish


def network():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4))
    model[1].running_var.fill_(1e-9)  # less than float16 can tell from 0
    return model


def save(path, state, **more):
    torch.save(dict(state_dict=state, **more), path)
    return path


def test_weights_alone_at_half_the_size(tmp_path):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    model[0](torch.ones(1, 3, 3, 3)).sum().backward()
    optimizer.step()
    source = save(tmp_path / 'iter_9.pth', model.state_dict(), optimizer=optimizer.state_dict())
    path = publish(source, tmp_path / 'weights/net.pth')
    assert path.parent.name == 'weights' and list(path.parent.iterdir()) == [path]
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert path.name == f'net-{digits}.pth'
    # The same weights have the same name wherever they are written.
    again = publish(source, tmp_path / 'elsewhere/other.pth')
    assert again.name == f'other-{digits}.pth' and again.read_bytes() == path.read_bytes()
    content = torch.load(path, weights_only=True)
    assert set(content) == {'meta', 'state_dict'} and content['meta'] == {}
    # A float32 model takes them.
    other = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4))
    other.load_state_dict(content['state_dict'])
    for name, value in model.state_dict().items():
        got = other.state_dict()[name]
        assert got.dtype == value.dtype
        torch.testing.assert_close(
            got, value, rtol=2**-11, atol=1e-7 if 'running' not in name else 0
        )
    assert content['state_dict']._metadata == model.state_dict()._metadata


def test_what_wraps_the_weights_is_not_published(tmp_path):
    model = network()
    plain = publish(save(tmp_path / 'plain.pth', model.state_dict()), tmp_path / 'net.pth')
    wrapped = nn.Module()
    wrapped.module = model
    torch.save(dict(model=wrapped.state_dict(), epoch=3), tmp_path / 'wrapped.pth')
    again = publish(tmp_path / 'wrapped.pth', tmp_path / 'again/net.pth')
    own, other = (torch.load(path)['state_dict'] for path in (plain, again))
    assert own.keys() == other.keys() and own._metadata == other._metadata
    assert all(torch.equal(own[name], other[name]) for name in own)


@pytest.mark.parametrize(
    ('value', 'message'),
    [(float('nan'), '0.weight is not finite'), (1e5, '0.weight is too large for float16')],
)
def test_what_float16_cannot_hold_is_not_written(tmp_path, value, message):
    state = network().state_dict()
    state['0.weight'][0, 0, 0, 0] = value
    source = save(tmp_path / 'iter_9.pth', state)
    with pytest.raises(ValueError, match=message):
        publish(source, tmp_path / 'weights/net.pth')
    assert not list((tmp_path).glob('weights/*'))


def test_the_target_is_a_name_for_weights(tmp_path):
    with pytest.raises(ValueError, match=r'expected NAME\.pth'):
        publish(save(tmp_path / 'a.pth', network().state_dict()), tmp_path / 'weights')
