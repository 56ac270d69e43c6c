"""The whole detector: all parts train, and no batch breaks it."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
K = np.array([[50.0, 0, 47.5], [0, 50, 31.5], [0, 0, 1]])
FORWARD = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
BACKWARD = FORWARD @ np.diag([-1.0, -1, 1, 1])


def small_model(channels_last=False, compile_dense=False, img_cache_gib=0.0, **head):
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/nclr_minkunet-small_lite0.py').model
    cfg.backbone.base_channels = 8
    cfg.backbone.encoder_channels = [8, 8, 16, 16]
    cfg.backbone.decoder_channels = [16, 16, 8, 8]
    cfg.calib_head.update(dict(point_channels=8, num_voxels=64), **head)
    cfg.update(
        channels_last=channels_last, compile_dense=compile_dense, img_cache_gib=img_cache_gib
    )
    return MODELS.build(cfg)


def cloud(number, seed=0):
    """Points in front of the forward camera, between 4 and 20 m."""
    rng = np.random.default_rng(seed)
    points = rng.uniform([4, -6, -2, 0], [20, 6, 2, 1], (number, 4))
    return torch.tensor(points, dtype=torch.float32)


def batch(model, clouds, poses=(FORWARD,), training=True):
    torch.manual_seed(0)
    samples = []
    for _ in clouds:
        sample = Det3DDataSample()
        sample.set_metainfo(dict(cam2img=np.stack([K] * len(poses)), lidar2cam=np.stack(poses)))
        samples.append(sample)
    images = [torch.randint(0, 255, (len(poses), 3, 64, 96), dtype=torch.uint8) for _ in clouds]
    data = dict(inputs=dict(points=list(clouds), img=images), data_samples=samples)
    return model.data_preprocessor(data, training)


def total(losses):
    return sum(v for k, v in losses.items() if 'loss' in k)


def test_every_trainable_parameter_gets_a_gradient_and_the_frozen_ones_stay():
    torch.manual_seed(0)
    model = small_model(with_pose_loss=True, keypoints=dict(thresholds=(0.0,))).train()
    frozen = copy.deepcopy(model.img_backbone.state_dict())
    data = batch(model, [cloud(300), cloud(200, 1)], (FORWARD, BACKWARD))
    losses = model(**data, mode='loss')
    assert set(losses) == {
        'loss_contrast',
        'loss_fused_contrast',
        'loss_point_overlap',
        'loss_pixel_overlap',
        'loss_pose_rotation',
        'loss_pose_translation',
        'num_pairs',
        'num_fused_pairs',
        'num_poses',
    }
    total(losses).backward()
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    without = [n for n, p in trainable.items() if p.grad is None or not p.grad.any()]
    assert without == []
    assert all(p.grad.isfinite().all() for p in trainable.values())
    assert not any(n.startswith('img_backbone') for n in trainable)
    after = model.img_backbone.state_dict()
    assert all(torch.equal(after[k], v) for k, v in frozen.items())


@pytest.mark.parametrize(
    ('clouds', 'poses'),
    [
        pytest.param([cloud(300)], (BACKWARD,), id='no overlap at all'),
        pytest.param([cloud(300), cloud(300, 1)], (BACKWARD, BACKWARD), id='no overlap, 2 cameras'),
        pytest.param([cloud(1)], (FORWARD,), id='a single point'),
        pytest.param([cloud(2)], (FORWARD, BACKWARD), id='two points'),
        pytest.param([cloud(300), cloud(0)], (FORWARD,), id='empty sample at the end'),
        pytest.param([cloud(0), cloud(300)], (FORWARD,), id='empty sample at the start'),
        pytest.param([cloud(0), cloud(0)], (FORWARD, BACKWARD), id='nothing but empty samples'),
        pytest.param([cloud(300), cloud(5)], (FORWARD,), id='few points in one sample'),
        pytest.param([torch.ones(300, 4) * 5], (FORWARD,), id='all points in one voxel'),
    ],
)
def test_degenerate_batches_train_on(clouds, poses):
    torch.manual_seed(0)
    model = small_model(with_pose_loss=True, keypoints=dict(thresholds=(0.0,))).train()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(2):
        losses = model(**batch(model, clouds, poses), mode='loss')
        assert all(v.isfinite().all() for v in losses.values()), losses
        optimiser.zero_grad()
        total(losses).backward()
        for name, p in model.named_parameters():
            # DDP needs a gradient of every parameter in every step, be it zero.
            assert not p.requires_grad or (p.grad is not None and p.grad.isfinite().all()), name
        optimiser.step()
    assert all(p.isfinite().all() for p in model.parameters())
    model.eval()
    results = model(**batch(model, clouds, poses, training=False), mode='predict')
    assert len(results) == len(clouds)
    for result in results:
        assert result.pred_calib.lidar2cam.isfinite().all()
        assert result.pred_calib.valid.shape == (len(poses),)


def test_a_degenerate_neighbour_does_not_change_a_sample():
    """Where all voxels are used, the good sample does not see its neighbour."""
    model = small_model().eval()
    alone = model(**batch(model, [cloud(300)], training=False), mode='predict')
    pair = model(**batch(model, [cloud(300), cloud(1)], training=False), mode='predict')
    a, b = alone[0].pred_calib, pair[0].pred_calib
    order_a, order_b = (x.points[:, 0].argsort() for x in (a, b))
    torch.testing.assert_close(a.points[order_a], b.points[order_b])
    torch.testing.assert_close(
        a.point_scores[:, order_a], b.point_scores[:, order_b], atol=1e-5, rtol=0
    )
    torch.testing.assert_close(a.pixel_scores, b.pixel_scores, atol=1e-5, rtol=0)


def test_prediction_is_the_same_every_time():
    model = small_model().eval()
    first, second = (
        model(**batch(model, [cloud(300)], training=False), mode='predict')[0].pred_calib
        for _ in range(2)
    )
    for key, value in first.items():
        assert torch.equal(value, second.get(key)), key


def test_the_official_release_and_the_paper_are_both_expressible():
    torch.manual_seed(0)
    release = small_model(
        alignment=dict(type='CosineAlignment'),
        pixel_sampling='nearest',
        preferred_fraction=0.0,
        exclude_radius=0.0,
        loss_contrast=dict(type='PointInfoNCE', symmetric=False),
    )
    paper = small_model(alignment=dict(type='SymmetricAlignment'))
    names = {n for n, _ in paper.named_parameters()} - {n for n, _ in release.named_parameters()}
    assert names == {'calib_head.alignment.transform', 'calib_head.fused_alignment.transform'}
    without_fusion = small_model(fusion=None, loss_fused_contrast=None)
    for model in (release, paper, without_fusion):
        losses = model.train()(**batch(model, [cloud(300)]), mode='loss')
        assert total(losses).isfinite()


@pytest.mark.parametrize(
    'switch', ['loss_contrast', 'loss_fused_contrast', 'loss_point_overlap', 'loss_pixel_overlap']
)
def test_a_loss_that_is_off_leaves_every_parameter_with_a_gradient(switch):
    """DDP waits for the gradient of every parameter, be it zero."""
    torch.manual_seed(0)
    model = small_model(**{switch: None}).train()
    losses = model(**batch(model, [cloud(300)]), mode='loss')
    assert switch not in losses
    total(losses).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_names_in_the_state_dict_are_those_of_mmdet3d():
    model = small_model()
    segmentor = MODELS.build(
        dict(
            type='MinkUNet',
            backbone=dict(
                type='MinkUNetBackbone',
                in_channels=1,
                base_channels=8,
                encoder_channels=[8, 8, 16, 16],
                encoder_blocks=[1, 1, 1, 1],
                decoder_channels=[16, 16, 8, 8],
                decoder_blocks=[1, 1, 1, 1],
                sparseconv_backend='spconv',
            ),
            decode_head=dict(
                type='MinkUNetHead',
                channels=8,
                num_classes=3,
                loss_decode=dict(type='mmdet.CrossEntropyLoss'),
            ),
        )
    )
    own, theirs = (
        {k: v.shape for k, v in m.state_dict().items() if k.startswith('backbone.')}
        for m in (model, segmentor)
    )
    assert own == theirs and own


@pytest.mark.parametrize('features', ['fused', 'backbone'])
def test_features_are_kept_when_asked_for(features):
    """Those that were matched: a match's similarity is the product of its two features."""
    torch.manual_seed(0)  # not all random networks find a match
    model = small_model(test_cfg=dict(num_voxels=64, features=features, window=1)).eval()
    data = batch(model, [cloud(300)], training=False)
    assert 'point_features' not in model(**data, mode='predict')[0].pred_calib
    model.calib_head.keep_features = True
    pred = model(**batch(model, [cloud(300)], training=False), mode='predict')[0].pred_calib
    points, cells = pred.point_features, pred.pixel_features
    assert points.shape[:2] == pred.point_scores.shape
    assert cells.shape[:3] == pred.pixel_scores.shape
    best = (points[0] @ cells[0].flatten(0, 1).T).amax(dim=1)
    index = (pred.points[:, None] == pred.match_points[0]).all(-1).nonzero()
    kept = index[pred.match_mask[0][index[:, 1]]]
    assert len(kept)
    torch.testing.assert_close(best[kept[:, 0]], pred.match_scores[0][kept[:, 1]])


def dense_weights(module):
    return [p for p in module.parameters() if p.dim() == 4 and min(p.shape[1:]) > 1]


def test_channels_last_changes_nothing_but_the_order_in_memory():
    torch.manual_seed(0)
    plain = small_model().train()
    last = small_model(channels_last=True).train()
    last.load_state_dict(plain.state_dict())
    weights = dense_weights(last.img_backbone) + dense_weights(last.img_neck)
    assert weights
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
    images = batch(plain, [cloud(50)])['inputs']['imgs']
    torch.testing.assert_close(
        last.extract_img_feat(images), plain.extract_img_feat(images), atol=1e-4, rtol=1e-4
    )


def test_compilation_keeps_the_names_of_the_weights(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda module: compiled.append(module))
    model = small_model(compile_dense=True)
    assert compiled == [model.img_backbone, model.img_neck]
    assert model.state_dict().keys() == small_model().state_dict().keys()


@pytest.mark.slow
def test_compiled_layers_give_the_same_features():
    torch.manual_seed(0)
    plain, compiled = small_model().eval(), small_model(compile_dense=True).eval()
    compiled.load_state_dict(plain.state_dict())
    images = batch(plain, [cloud(50)])['inputs']['imgs']
    with torch.no_grad():
        torch.testing.assert_close(
            compiled.extract_img_feat(images), plain.extract_img_feat(images), atol=1e-4, rtol=1e-4
        )
