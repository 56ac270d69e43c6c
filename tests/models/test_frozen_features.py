"""Kept features are those of the network, and no others."""

import pytest
import torch
from torch import nn

from nclr_mm.models.layers.frozen_features import FrozenFeatures
from tests.models.test_nclr import batch, cloud, small_model


class Counting(nn.Module):
    """A frozen network of two maps, which counts the images that it sees."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.requires_grad_(False).eval()
        self.seen = 0

    def forward(self, images):
        self.seen += len(images)
        first = self.norm(self.convolution(images))
        return first, first[..., ::2, ::2]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Counting()


def images(*seeds):
    return torch.stack(
        [torch.randn(3, 8, 12, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


def assert_equal(found, network, given):
    for one, other in zip(found, network(given), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_each_image_is_computed_once(network):
    cache = FrozenFeatures(1e6)
    for seeds, seen in (([0, 1], 2), ([1, 2, 1], 3), ([2, 0], 3), ([3, 3], 4)):
        found = cache(network, images(*seeds))
        assert network.seen == seen
        assert_equal(found, network, images(*seeds))
        network.seen = seen


def test_the_smallest_change_makes_another_image(network):
    cache = FrozenFeatures(1e6)
    given = images(0)
    cache(network, given)
    given[0, 1, 2, 3] = torch.nextafter(given[0, 1, 2, 3], torch.tensor(9.0))
    cache(network, given)
    cache(network, given.flip(-1))
    assert network.seen == 3


def test_memory_is_bounded_and_the_oldest_goes(network):
    of_one = 4 * (4 * 8 * 12 + 4 * 4 * 6)
    cache = FrozenFeatures(2 * of_one)
    cache(network, images(0, 1))
    assert cache.bytes == 2 * of_one
    cache(network, images(0))  # 1 is the oldest now
    cache(network, images(2))
    assert cache.bytes == 2 * of_one and network.seen == 3
    cache(network, images(0, 2))
    assert network.seen == 3
    cache(network, images(1))
    assert network.seen == 4
    # More at once than fit: right, though not all are kept.
    assert_equal(cache(network, images(4, 5, 6)), network, images(4, 5, 6))
    assert cache.bytes <= 2 * of_one
    assert_equal(FrozenFeatures(0)(network, images(0)), network, images(0))


def test_precisions_are_kept_apart(network):
    cache = FrozenFeatures(1e6)
    given = images(0)
    plain = cache(network, given)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = cache(network, given)
    assert plain[0].dtype == torch.float32
    assert half[0].dtype != plain[0].dtype or not torch.equal(half[0], plain[0])
    assert torch.equal(cache(network, given)[0], plain[0]) and network.seen == 2
    cache(network, given.bfloat16().float())  # another image
    assert network.seen == 3


@pytest.mark.parametrize('part', ['convolution', 'norm', 'dropout'])
def test_networks_that_change_are_refused(network, part):
    if part == 'norm':
        network.norm.train()
    elif part == 'dropout':
        network.dropout = nn.Dropout2d(0.5)
    else:
        network.convolution.requires_grad_(True)
    with pytest.raises(ValueError, match=f'not frozen: {part}.* is (trained|in training mode)'):
        FrozenFeatures(1e6)(network, images(0))


def test_negative_memory_is_refused():
    with pytest.raises(ValueError, match='must not be negative'):
        small_model(img_cache_gib=-1)


def test_the_memory_format_stays(network):
    cache = FrozenFeatures(1e6)
    network.to(memory_format=torch.channels_last)
    given = images(0, 1).to(memory_format=torch.channels_last)
    assert network(given)[0].is_contiguous(memory_format=torch.channels_last)
    for seeds in ([0, 1], [1, 0]):
        given = images(*seeds).to(memory_format=torch.channels_last)
        first = cache(network, given)[0]
        assert first.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(first, network(given)[0], atol=1e-6, rtol=1e-5)


def test_the_detector_learns_the_same(monkeypatch):
    torch.manual_seed(0)
    plain = small_model().train()
    cached = small_model(img_cache_gib=0.1).train()
    cached.load_state_dict(plain.state_dict())
    calls = []
    forward = cached.img_backbone.forward
    monkeypatch.setattr(
        cached.img_backbone, 'forward', lambda x: calls.append(len(x)) or forward(x)
    )
    for _ in range(2):
        results = []
        for model in (plain, cached):
            torch.manual_seed(1)
            losses = model(**batch(model, [cloud(200)]), mode='loss')
            model.zero_grad()
            sum(v for k, v in losses.items() if 'loss' in k).backward()
            gradients = {k: p.grad for k, p in model.named_parameters() if p.grad is not None}
            results.append((losses, gradients))
        torch.testing.assert_close(results[1], results[0], atol=1e-5, rtol=1e-4)
    assert calls == [1]
    # Weights that are loaded make other features.
    for weights in plain.img_backbone.parameters():
        weights.data += 0.01
    cached.load_state_dict(plain.state_dict())
    given = batch(plain, [cloud(200)])['inputs']['imgs']
    torch.testing.assert_close(
        cached.extract_img_feat(given), plain.extract_img_feat(given), atol=1e-5, rtol=1e-4
    )
    assert calls == [1, 1]
