"""Image weights load completely or stop the run; the neck against plain torch."""

from argparse import Namespace
from fractions import Fraction

import pytest
import torch
from mmdet3d.registry import MODELS
from torch.nn import functional as F

from nclr_mm.models.necks import UpsampleSum


def resnet(checkpoint, depth=18):
    return MODELS.build(
        dict(
            type='mmdet.ResNet',
            depth=depth,
            out_indices=(3,),
            frozen_stages=4,
            norm_cfg=dict(type='BN', requires_grad=False),
            norm_eval=True,
            init_cfg=dict(type='CompletePretrained', checkpoint=str(checkpoint)),
        )
    )


@pytest.fixture(scope='module')
def published():
    """Weights as torchvision and DINO publish them: the same names, a classifier on top."""
    torch.manual_seed(0)
    model = MODELS.build(dict(type='mmdet.ResNet', depth=18, out_indices=(3,)))
    weights = {k: torch.randn_like(v.float()).to(v.dtype) for k, v in model.state_dict().items()}
    return dict(weights, **{'fc.weight': torch.zeros(10, 512)})


@pytest.mark.parametrize(
    'wrap',
    [
        pytest.param(lambda w: w, id='plain'),
        pytest.param(lambda w: dict(state_dict=w), id='state_dict'),
        pytest.param(
            lambda w: dict(
                epoch=3,
                args=Namespace(arch='resnet50', lr=0.03),
                student={},
                teacher={f'module.backbone.{k}': v for k, v in w.items()},
            ),
            id='DINO training checkpoint',
        ),
        pytest.param(
            lambda w: dict(
                arch='resnet50',
                state_dict={
                    **{f'module.encoder_q.{k}': v for k, v in w.items()},
                    **{f'module.encoder_k.{k}': torch.zeros_like(v) for k, v in w.items()},
                    'module.queue': torch.zeros(2),
                },
            ),
            id='MoCo',
        ),
        pytest.param(
            lambda w: dict(state_dict={f'model.backbone.{k}': v for k, v in w.items()}),
            id='Lightning or mmpretrain',
        ),
        pytest.param(
            lambda w: dict(
                model_ema={k: torch.zeros_like(v) for k, v in w.items()},
                model={f'_orig_mod.module.{k}': v for k, v in w.items()},
            ),
            id='compiled, with an average',
        ),
        pytest.param(
            lambda w: {k: v for k, v in w.items() if 'num_batches' not in k}, id='no counters'
        ),
    ],
)
def test_every_tensor_is_loaded_by_value_and_stays(tmp_path, published, wrap):
    path = tmp_path / 'weights.pth'
    torch.save(wrap(published), path)
    model = resnet(path)
    model.init_weights()
    model.train()
    model(torch.randn(2, 3, 64, 64))
    state = model.state_dict()
    for name, value in published.items():
        if 'fc.' not in name and 'num_batches' not in name:
            assert torch.equal(state[name], value), name
    assert not any(p.requires_grad for p in model.parameters())


def test_unfit_files_are_refused(tmp_path, published):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth do not exist'):
        resnet(tmp_path / 'nowhere.pth').init_weights()
    path = tmp_path / 'other.pth'
    torch.save(published, path)
    with pytest.raises(ValueError, match='are missing or of another shape'):
        resnet(path, depth=50).init_weights()
    part = {k: v for k, v in published.items() if k != 'layer3.0.conv1.weight'}
    torch.save(part, path)
    with pytest.raises(ValueError, match=r'1 of 100 .* layer3\.0\.conv1\.weight'):
        resnet(path).init_weights()
    torch.save(dict(model={f'net.{k}': v for k, v in part.items()}), path)
    with pytest.raises(
        ValueError, match=r'other\.pth \(model, prefix net\.\) does not .* 1 of 100 .* layer3'
    ):
        resnet(path).init_weights()
    torch.save(published | {'layer3.0.conv1.weight': 1, 7: torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r'1 of 100 .* layer3\.0\.conv1\.weight'):
        resnet(path).init_weights()
    infinite = torch.full_like(published['layer3.0.conv1.weight'], float('inf'))
    torch.save(published | {'layer3.0.conv1.weight': infinite}, path)
    with pytest.raises(
        ValueError, match=r'other\.pth: the tensor layer3\.0\.conv1\.weight is not fi'
    ):
        resnet(path).init_weights()
    torch.save(dict(published, args=Fraction(1)), path)
    with pytest.raises(
        ValueError, match=r'other\.pth holds more than tensors .*Fraction.*If you trust it'
    ):
        resnet(path).init_weights()
    path.write_text('weights')
    with pytest.raises(ValueError, match=r'other\.pth is not a checkpoint of torch\.save'):
        resnet(path).init_weights()


def test_neck_is_the_official_branch_for_one_level():
    torch.manual_seed(0)
    neck = UpsampleSum(in_channels=[32], in_strides=[32], out_channels=8, out_stride=4)
    x = torch.randn(2, 32, 5, 16)
    conv = neck.laterals[0]
    expected = F.interpolate(
        F.conv2d(x, conv.weight, conv.bias), size=(40, 128), mode='bilinear', align_corners=False
    )
    torch.testing.assert_close(neck([x]), expected)


def test_neck_sums_levels_and_refuses_bad_strides():
    neck = UpsampleSum(in_channels=[4, 6], in_strides=[4, 8], out_channels=8)
    a, b = torch.randn(1, 4, 8, 8), torch.randn(1, 6, 4, 4)
    parts = [conv(x) for conv, x in zip(neck.laterals, (a, b), strict=True)]
    expected = parts[0] + F.interpolate(parts[1], scale_factor=2, mode='bilinear')
    torch.testing.assert_close(neck([a, b]), expected)
    deeper = UpsampleSum(in_channels=[4, 6], in_strides=[4, 8], out_channels=8, num_blocks=1)
    deeper.laterals.load_state_dict(neck.laterals.state_dict())
    block = deeper.blocks[0]
    hidden = F.conv2d(expected.relu(), block[1].weight, block[1].bias, padding=1).relu()
    residual = F.conv2d(hidden, block[3].weight, block[3].bias, padding=1)
    torch.testing.assert_close(deeper([a, b]), expected + residual)
    with pytest.raises(ValueError, match='multiples of out_stride'):
        UpsampleSum(in_channels=[4], in_strides=[6])
    with pytest.raises(ValueError, match='same levels'):
        UpsampleSum(in_channels=[4], in_strides=[4, 8])
