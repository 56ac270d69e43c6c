"""Gradients of sparse convolutions on CPUs.

Oracles: torch's dense convolutions, with zeros where there is no voxel, and finite differences.
"""

import pytest
import torch
import torch.nn.functional as F
from spconv.pytorch import SparseConv3d, SparseConvTensor, SparseInverseConv3d, SubMConv3d

import nclr_mm  # noqa: F401 (applies the workaround)

SHAPE = (6, 8, 4)
BATCH = 2
CHANNELS = 3


@pytest.mark.skipif(torch.cuda.is_available(), reason='the fault shows where there is no CUDA')
def test_upstream_fault(without_workarounds):
    error = without_workarounds(
        'import torch\n'
        'from spconv.pytorch import SparseConvTensor, SubMConv3d\n'
        'coors = torch.tensor([[0, 1, 1, 1], [0, 1, 1, 2]], dtype=torch.int32)\n'
        'x = SparseConvTensor(torch.ones(2, 3, requires_grad=True), coors, [4, 4, 4], 1)\n'
        'SubMConv3d(3, 3, 3, bias=False)(x).features.sum().backward()\n'
    )
    assert 'current_stream' in error


@pytest.fixture
def voxels():
    """Indices (N, 4) int32 of about a third of all cells, and random features (N, C)."""
    generator = torch.Generator().manual_seed(0)
    occupied = torch.rand(BATCH, *SHAPE, generator=generator) < 0.35
    indices = occupied.nonzero().int().contiguous()
    return indices, torch.randn(len(indices), CHANNELS, generator=generator)


def to_dense(indices, features, shape=SHAPE):
    dense = features.new_zeros(BATCH, *shape, features.shape[1])
    return dense.index_put(tuple(indices.long().T), features).permute(0, 4, 1, 2, 3)


def at(dense, indices):
    return dense.permute(0, 2, 3, 4, 1)[tuple(indices.long().T)]


class SubM(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = SubMConv3d(CHANNELS, 5, 3, padding=1, bias=False)

    def forward(self, indices, features):
        out = self.conv(SparseConvTensor(features, indices, list(SHAPE), BATCH))
        return out.indices, out.features

    def dense(self, indices, features, out_indices):
        weight = self.conv.weight.permute(0, 4, 1, 2, 3)  # spconv keeps (out, x, y, z, in)
        return at(F.conv3d(to_dense(indices, features), weight, padding=1), out_indices)


class Strided(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = SparseConv3d(CHANNELS, 5, 2, stride=2, bias=False)

    def forward(self, indices, features):
        out = self.conv(SparseConvTensor(features, indices, list(SHAPE), BATCH))
        return out.indices, out.features

    def dense(self, indices, features, out_indices):
        weight = self.conv.weight.permute(0, 4, 1, 2, 3)
        return at(F.conv3d(to_dense(indices, features), weight, stride=2), out_indices)


class Inverse(torch.nn.Module):
    """Down and up again, as each stage of a U-Net does."""

    def __init__(self):
        super().__init__()
        self.down = SparseConv3d(CHANNELS, 5, 2, stride=2, bias=False, indice_key='stage')
        self.up = SparseInverseConv3d(5, 4, 2, indice_key='stage', bias=False)

    def forward(self, indices, features):
        out = self.up(self.down(SparseConvTensor(features, indices, list(SHAPE), BATCH)))
        return out.indices, out.features

    def dense(self, indices, features, out_indices):
        # Cells without a voxel below them are zero in the dense result as well.
        down = F.conv3d(
            to_dense(indices, features), self.down.weight.permute(0, 4, 1, 2, 3), stride=2
        )
        up = F.conv_transpose3d(down, self.up.weight.permute(4, 0, 1, 2, 3), stride=2)
        return at(up, out_indices)


def gradients(output, inputs, probe):
    return torch.autograd.grad((output * probe).sum(), inputs)


@pytest.mark.parametrize('network_type', [SubM, Strided, Inverse])
def test_gradients_equal_those_of_dense_convolutions(network_type, voxels):
    torch.manual_seed(1)
    network = network_type()
    indices, features = voxels
    features.requires_grad_()
    out_indices, out = network(indices, features)
    reference = network.dense(indices, features, out_indices)
    torch.testing.assert_close(out, reference, atol=1e-5, rtol=1e-4)
    probe = torch.randn_like(out)
    inputs = [features, *network.parameters()]
    for found, expected in zip(
        gradients(out, inputs, probe), gradients(reference, inputs, probe), strict=True
    ):
        assert expected.abs().max() > 0
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('network_type', [SubM, Strided, Inverse])
def test_gradients_equal_finite_differences(network_type, voxels):
    torch.manual_seed(2)
    network = network_type()
    indices, features = voxels
    features.requires_grad_()
    _, out = network(indices, features)
    probe = torch.randn_like(out)
    inputs = [features, *network.parameters()]
    found = gradients(out, inputs, probe)

    @torch.no_grad()
    def value():
        return (network(indices, features)[1].double() * probe).sum()

    # The result is linear in each input alone: central differences have no error of truncation.
    step = 0.5
    for tensor, gradient in zip(inputs, found, strict=True):
        direction = torch.randn_like(tensor)
        with torch.no_grad():
            tensor += step * direction
            above = value()
            tensor -= 2 * step * direction
            below = value()
            tensor += step * direction
        expected = (above - below) / (2 * step)
        torch.testing.assert_close(
            (gradient.double() * direction).sum(), expected, atol=1e-3, rtol=1e-3
        )
