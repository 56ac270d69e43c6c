"""SPVCNN on spconv: its exchange of features against loops, its shape against mmdet3d's network."""

import itertools

import pytest
import torch
from torch import nn

from nclr_mm.models.backbones import CalibrationMinkUNet, CalibrationSPVCNN
from nclr_mm.models.layers.point_voxel import PointVoxelExchange

SMALL = dict(
    in_channels=1,
    num_stages=4,
    base_channels=8,
    encoder_channels=[8, 8, 16, 16],
    encoder_blocks=[1, 1, 1, 1],
    decoder_channels=[16, 24, 8, 12],
    decoder_blocks=[1, 1, 1, 1],
)


def cloud(number=300, extent=20, samples=2):
    torch.manual_seed(0)
    batch = torch.arange(samples).repeat_interleave(number)[:, None]
    cells = torch.randint(0, extent, (samples * number, 3))
    coors = torch.unique(torch.cat([batch, cells], dim=1), dim=0).int()
    return coors[torch.randperm(len(coors))]


@pytest.mark.parametrize('stride', [1, 4, 16])
def test_exchange_against_loops(stride):
    points = cloud()
    voxels = torch.cat([points[:, :1], points[:, 1:] // stride], dim=1)
    voxels = torch.unique(voxels, dim=0)
    voxels = voxels[torch.randperm(len(voxels))]
    place = {tuple(row): i for i, row in enumerate(voxels.tolist())}
    features = torch.randn(len(voxels), 5, dtype=torch.float64)
    own = torch.randn(len(points), 3, dtype=torch.float64)
    exchange = PointVoxelExchange(points, voxels, stride)

    expected = torch.zeros(len(points), 5, dtype=torch.float64)
    members = [[] for _ in voxels]
    for i, (batch, *position) in enumerate(points.tolist()):
        total = 0.0
        base = [p // stride for p in position]
        members[place[(batch, *base)]].append(i)
        for corner in itertools.product((0, 1), repeat=3):
            weight = 1.0
            for p, b, c in zip(position, base, corner, strict=True):
                share = p / stride - b
                weight *= share if c else 1 - share
            voxel = place.get((batch, *(b + c for b, c in zip(base, corner, strict=True))))
            if voxel is not None:
                expected[i] += weight * features[voxel]
                total += weight
        expected[i] /= total
    torch.testing.assert_close(exchange.to_points(features), expected, atol=1e-6, rtol=0)
    means = torch.stack([own[m].mean(dim=0) for m in members])
    torch.testing.assert_close(exchange.to_voxels(own), means)
    if stride == 1:
        torch.testing.assert_close(exchange.to_points(features)[:3], features[exchange.own[:3]])


def test_a_voxel_at_the_border_has_no_neighbour_from_the_other_side():
    points = torch.tensor([[0, 1, 1, 1], [1, 0, 0, 0]])
    exchange = PointVoxelExchange(points, torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0]]), 2)
    features = torch.tensor([[1.0], [5.0]])
    assert exchange.to_points(features)[:, 0].tolist() == [1, 5]


def test_parameters_are_those_of_mmdet3d():
    """Names and shapes as mmdet3d's SPVCNNBackbone has them, which needs torchsparse."""
    ours = CalibrationSPVCNN(**SMALL)
    names = {n: tuple(p.shape) for n, p in ours.named_parameters() if 'point_transforms' in n}
    expected = {}
    for i, (a, b) in enumerate([(8, 16), (16, 24), (24, 12)]):
        expected[f'point_transforms.{i}.0.weight'] = (b, a)
        expected[f'point_transforms.{i}.0.bias'] = (b,)
        expected[f'point_transforms.{i}.1.weight'] = (b,)
        expected[f'point_transforms.{i}.1.bias'] = (b,)
    assert names == expected
    voxels = {n for n, _ in CalibrationMinkUNet(**SMALL).named_parameters()}
    assert {n for n, _ in ours.named_parameters()} == voxels | set(names)


def test_without_its_point_branch_it_is_a_minkunet():
    """Silent point transforms and no interpolation between voxels leave the voxel branch."""
    ours = CalibrationSPVCNN(drop_ratio=0.0, **SMALL).eval()
    plain = CalibrationMinkUNet(**SMALL).eval()
    plain.load_state_dict(ours.state_dict(), strict=False)
    for transform in ours.point_transforms:
        nn.init.zeros_(transform[1].weight)
        nn.init.zeros_(transform[1].bias)
    # Points that are the lower corners of cells of 16: nothing lies between voxels.
    coors = torch.unique(cloud(extent=4)[:, 1:] * 16, dim=0)
    coors = torch.cat([torch.zeros((len(coors), 1), dtype=torch.int32), coors], dim=1).int()
    features = torch.randn(len(coors), 1)
    with torch.no_grad():
        torch.testing.assert_close(ours(features, coors), plain(features, coors))


@pytest.mark.parametrize('number', [0, 1, 300])
def test_it_trains_on_any_cloud(number):
    net = CalibrationSPVCNN(**SMALL).train()
    coors = cloud(number)[:1] if number == 1 else cloud(number) if number else torch.zeros(0, 4)
    out = net(torch.randn(len(coors), 1), coors.int())
    assert out.shape == (len(coors), 12)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_other_backends_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="'spconv' or 'torchsparse', not 'minkowski'"):
        CalibrationSPVCNN(sparseconv_backend='minkowski')
    monkeypatch.setattr('nclr_mm.models.backbones.minkunet.find_spec', lambda name: True)
    monkeypatch.setattr('nclr_mm.models.backbones.spvcnn.torchsparse_has_batch_first', lambda: True)
    monkeypatch.setattr('nclr_mm.models.backbones.spvcnn.CalibrationMinkUNet.__init__', no_network)
    with pytest.raises(ValueError, match=r'torchsparse had before version 2\.1'):
        CalibrationSPVCNN(sparseconv_backend='torchsparse')


def no_network(self, **kwargs):
    torch.nn.Module.__init__(self)
