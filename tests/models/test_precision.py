"""Mixed precision keeps targets, matches and poses in float32.

Oracle: the same code without autocast, on features of the same values. Under autocast these are
bfloat16, as layers give them; without it, float32.
"""

import dataclasses

import numpy as np
import pytest
import torch
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from torch.nn import functional as F

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.geometry import euler_to_matrix, make_rigid, rotation_angle
from nclr_mm.models.heads import calibration_head
from nclr_mm.models.heads.calibration_head import Scene, read_pixels
from nclr_mm.models.heads.targets import Cameras, calibration_targets
from nclr_mm.models.layers.alignment import CosineAlignment, SymmetricAlignment
from nclr_mm.models.layers.matching import nearest_pixels, pixel_grid, refine_pixels, soft_argmax
from nclr_mm.models.losses import PointInfoNCE
from tests.models.test_nclr import BACKWARD, FORWARD, batch, cloud, small_model

IMAGE, MAP = (256, 384), (64, 96)
CELLS = MAP[0] * MAP[1]
K = np.array([[200.0, 0, 191.5], [0, 200, 127.5], [0, 0, 1]])
#: what the overlap layers give, which compute in half precision by right
OF_LAYERS = {'loss_point_overlap', 'loss_pixel_overlap', 'point_scores', 'pixel_scores'}


def autocast(on=True):
    return torch.autocast('cpu', dtype=torch.bfloat16, enabled=on)


def as_layers_give(features):
    """Features in the dtype that layers give them in, of values that bfloat16 holds."""
    features = features.bfloat16()
    return features if torch.is_autocast_enabled('cpu') else features.float()


def compared(call):
    """What a function gives under autocast, which must be what it gives without."""
    results = []
    for on in (True, False):
        torch.manual_seed(0)
        with autocast(on):
            results.append(call())
    check_equal(*results)
    return results[0]


def check_equal(ours, plain):
    if isinstance(ours, dict):
        assert ours.keys() == plain.keys()
        for name in ours.keys() - OF_LAYERS:
            check_equal(ours[name], plain[name])
    elif isinstance(ours, (tuple, list)):
        for pair in zip(ours, plain, strict=True):
            check_equal(*pair)
    elif not isinstance(ours, torch.Tensor):
        assert ours == plain
    else:
        assert ours.dtype == plain.dtype and ours.dtype not in (torch.bfloat16, torch.half)
        # To the bit; but the solvers of NumPy, in float64, are not the same twice in their last.
        close = 1e-9 if ours.dtype == torch.float64 else 0
        torch.testing.assert_close(ours, plain, atol=close, rtol=0)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def embedded(*shape, seed=0):
    """Features of length 1, of values that bfloat16 holds."""
    return F.normalize(random(*shape, seed=seed), dim=-1).bfloat16().float()


def poses():
    """Two cameras of a rig that look ahead, 20 degrees to either side, a metre apart."""
    zero = torch.zeros((), dtype=torch.float64)
    turned = euler_to_matrix(zero, torch.tensor([0.35, -0.35], dtype=torch.float64), zero)
    shift = torch.tensor([[0.5, 0.3, 0.2], [-0.5, 0.3, 0.1]], dtype=torch.float64)
    return (make_rigid(turned, shift) @ torch.from_numpy(FORWARD)).numpy()


def cameras():
    sample = Det3DDataSample()
    rig = poses() @ np.linalg.inv(poses()[0])
    sample.set_metainfo(dict(cam2img=np.stack([K, K]), lidar2cam=poses(), rig2cam=rig))
    return Cameras.from_samples([sample, sample], IMAGE, MAP, torch.device('cpu'))


def voxels():
    """Positions (2, 600, 3) within 60 m; the last ten of the second sample are padding."""
    xyz = np.random.default_rng(0).uniform([5, -40, -3], [60, 40, 15], (2, 600, 3))
    mask = torch.ones(2, 600, dtype=torch.bool)
    mask[1, -10:] = False
    return torch.tensor(xyz, dtype=torch.float32), mask


def scene():
    """Voxels that have the features of the cells which they fall on."""
    xyz, mask = voxels()
    targets = calibration_targets(xyz, mask, cameras())
    pixels = embedded(2, 2, CELLS, 64)
    u, v = targets.uv.round().long().masked_fill(~targets.visible[..., None], 0).unbind(-1)
    own = pixels.gather(2, (v * MAP[1] + u)[..., None].expand(-1, -1, -1, 64))
    points = (own * targets.visible[..., None]).sum(1) + 0.02 * random(2, 600, 64, seed=1)
    return Scene(xyz, mask, as_layers_give(points), as_layers_give(pixels), cameras(), 590)


def head(**more):
    torch.manual_seed(0)
    settings = dict(
        type='CalibrationHead',
        point_channels=8,
        num_voxels=80,  # so many are seen by each camera, and are drawn
        preferred_fraction=1.0,
        num_pairs=256,
        exclude_radius=2.0,
        alignment=dict(type='SymmetricAlignment'),
        occlusion=dict(radius=1),
        loss_contrast=dict(type='PointInfoNCE', symmetric=True, gather_negatives=True),
        loss_point_overlap=dict(type='OverlapLoss'),
        loss_pixel_overlap=dict(type='OverlapLoss'),
        with_pose_loss=True,
        keypoints=dict(thresholds=(0.0,)),
        test_cfg=dict(num_voxels=600, score_threshold=0.0),
    )
    result = MODELS.build(dict(settings, **more))
    for name, parameter in result.named_parameters():
        if name.endswith('alignment.transform'):
            parameter.data += 0.02 * random(64, 64, seed=2)
    result.keep_features = True
    own, kept = result.view, []

    def view(scene, drawn):
        """Fusion consists of layers: without autocast, its results under autocast are taken."""
        if torch.is_autocast_enabled('cpu'):
            kept[:] = [own(scene, drawn)]
            return kept[0]
        fields = vars(kept[0]).items()
        floats = {n: x.float() for n, x in fields if x.is_floating_point()}
        return dataclasses.replace(kept[0], **floats)

    result.view = view
    return result


def losses(**more):
    made = head(**more)
    return compared(lambda: made.loss(scene()))


def predictions(**more):
    made = head(**more)
    return compared(lambda: [dict(found.items()) for found in made.predict(scene())])


FUSED = dict(
    alignment=dict(type='CosineAlignment'),
    fusion=dict(type='CrossModalFusion', num_heads=2),
    loss_fused_contrast=dict(type='PointInfoNCE'),
    pixel_sampling='nearest',
)


@pytest.mark.parametrize('more', [{}, FUSED], ids=['plain', 'fused'])
def test_losses_of_the_head(more):
    found = losses(**more)
    assert all(value.dtype == torch.float32 and value.isfinite() for value in found.values())
    assert found['num_pairs'] > 100
    if not more:  # the features tell the cells, and these the poses
        assert found['num_poses'] == 4
        assert found['loss_pose_rotation'] < 1e-4 and found['loss_pose_translation'] < 0.01


@pytest.mark.parametrize('more', [{}, FUSED], ids=['plain', 'fused'])
def test_predictions_of_the_head(more):
    for found in predictions(**more):
        assert found['match_pixels'].dtype == found['match_points'].dtype == torch.float32
        assert {'lidar2cam', 'rig_lidar2cam', 'rig_covariance', 'pixel_features'} < found.keys()
        if not more:
            assert found['valid'].all() and found['rig_valid']
            for name in ('lidar2cam', 'rig_lidar2cam'):
                true = torch.from_numpy(poses())
                angle = rotation_angle(found[name][:, :3, :3], true[:, :3, :3])
                assert angle.max() < np.deg2rad(0.3)
                assert (found[name] - true)[:, :3, 3].norm(dim=-1).max() < 0.3


@pytest.mark.parametrize('occlusion', [None, dict(radius=1)])
def test_targets(occlusion):
    xyz, mask = voxels()
    found = compared(lambda: vars(calibration_targets(xyz, mask, cameras(), occlusion)))
    assert found['visible'].sum() > 100 and found['uv'].dtype == torch.float32


def test_what_the_preprocessor_gives():
    model = small_model()
    data = compared(lambda: batch(model, [cloud(300), cloud(9)], (FORWARD, BACKWARD))['inputs'])
    assert data['voxels']['xyz'].dtype == torch.float32


def test_the_whole_model():
    torch.manual_seed(0)
    model = small_model(with_pose_loss=True, keypoints=dict(thresholds=(0.0,))).train()
    data = batch(model, [cloud(300), cloud(200, 1)], (FORWARD, BACKWARD))
    found = []
    for on in (True, False):
        torch.manual_seed(0)
        with autocast(on):
            found.append(model(**data, mode='loss'))
    ours, plain = found
    assert all(value.dtype == torch.float32 and value.isfinite() for value in ours.values())
    assert ours['num_pairs'] == plain['num_pairs'] and ours['num_fused_pairs'] > 10
    for name in ('contrast', 'fused_contrast', 'point_overlap', 'pixel_overlap'):
        assert ours[f'loss_{name}'].item() == pytest.approx(plain[f'loss_{name}'].item(), rel=0.02)
    assert ours['loss_contrast'] != plain['loss_contrast']  # layers are of half precision


def test_soft_matches():
    points, pixels = embedded(2, 30, 64), embedded(2, CELLS, 64, seed=1)
    grid = pixel_grid(*MAP, points.device)
    found = compared(
        lambda: soft_argmax(as_layers_give(points), as_layers_give(pixels), grid, 0.05)
    )
    weights = torch.einsum('nkc,npc->nkp', points.double(), pixels.double()).div(0.05).softmax(-1)
    assert weights.amax(-1).max() < 0.5  # places between cells
    torch.testing.assert_close(found.double(), weights @ grid.double(), atol=1e-3, rtol=0)


def test_nearest_matches():
    points, pixels = embedded(2, 30, 64), embedded(2, CELLS, 64, seed=1)
    mask = torch.arange(60).reshape(2, 30) % 7 > 0
    similarity, pixel, mutual = compared(
        lambda: nearest_pixels(as_layers_give(points), as_layers_give(pixels), mask, chunk=16)
    )
    all_pairs = torch.einsum('nkc,npc->nkp', points.double(), pixels.double())
    torch.testing.assert_close(similarity.double(), all_pairs.amax(-1), atol=1e-6, rtol=0)
    assert torch.equal(pixel, all_pairs.argmax(-1))
    owner = all_pairs.masked_fill(~mask[..., None], -1).argmax(1)
    assert torch.equal(mutual, mask & (owner.gather(1, pixel) == torch.arange(30)))


def test_refined_matches():
    points, pixels = embedded(2, 30, 64), embedded(2, CELLS, 64, seed=1)
    u, v = torch.arange(60).reshape(2, 30) + 10, torch.full((2, 30), 40)
    found = compared(
        lambda: refine_pixels(
            as_layers_give(points), as_layers_give(pixels), v * MAP[1] + u, *MAP, 0.05, 3
        )
    )
    maps = pixels.double().unflatten(1, MAP)
    for n, k in np.ndindex(2, 30):
        window = maps[n, 39:42, u[n, k] - 1 : u[n, k] + 2]
        weights = (window @ points[n, k].double() / 0.05).flatten().softmax(0).reshape(3, 3)
        expected = u[n, k] + weights.sum(0)[2] - weights.sum(0)[0], 40 + weights[2].sum()
        expected = torch.stack([expected[0], expected[1] - weights[0].sum()])
        torch.testing.assert_close(found[n, k].double(), expected, atol=1e-4, rtol=0)


def test_features_that_are_read_at_places():
    pixels = embedded(2, 2, CELLS, 64)
    uv = torch.rand(2, 50, 2) * torch.tensor([95.0, 63.0])
    camera = torch.arange(100).reshape(2, 50) % 2
    for mode in ('bilinear', 'nearest'):
        compared(lambda mode=mode: read_pixels(as_layers_give(pixels), camera, uv, MAP, mode))


#: where float32 is asked for, and the check above that would miss it
GUARDS = {
    'soft_argmax': (vars(calibration_head), 'soft_argmax', losses),
    'nearest_pixels': (vars(calibration_head), 'nearest_pixels', predictions),
    # In the head its features come from an embedding, and are float32 in any case.
    'refine_pixels': (globals(), 'refine_pixels', test_refined_matches),
    'plain embedding': (CosineAlignment, 'forward', lambda: losses(**FUSED)),
    'learned embedding': (SymmetricAlignment, 'forward', losses),
    'contrast': (PointInfoNCE, 'forward', losses),
}


@pytest.mark.parametrize('guard', GUARDS)
def test_a_guard_that_is_taken_out_is_noticed(monkeypatch, guard):
    place, name, check = GUARDS[guard]
    if isinstance(place, dict):
        monkeypatch.setitem(place, name, place[name].__wrapped__)
    else:
        monkeypatch.setattr(place, name, getattr(place, name).__wrapped__)
    with pytest.raises((AssertionError, RuntimeError)):
        check()
