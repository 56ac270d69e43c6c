"""Oracle: coordinates that an encoder writes into its map must be read back."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet3d.models.middle_encoders import SparseEncoder
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.config import Config
from mmengine.runner import load_checkpoint, save_checkpoint
from torch import nn

from nclr_mm.models.layers.bev import read_bev

ROOT = Path(__file__).parents[2]
VOXEL = (0.1, 0.2, 0.1)
SHAPE = (41, 32, 48)  # voxels along z, y, x
RANGE = (1.0, 2.0, -3.0, 1.0 + 48 * 0.1, 2.0 + 32 * 0.2, 1.1)


def copying_encoder() -> SparseEncoder:
    """SECOND's encoder with weights that copy the first two channels of the cell at its centre."""
    encoder = SparseEncoder(in_channels=2, sparse_shape=list(SHAPE)).eval()
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_var.fill_(1 - module.eps)
            elif hasattr(module, 'kernel_size') and hasattr(module, 'weight'):
                module.weight.zero_()
                centre = [k // 2 for k in module.kernel_size]
                for channel in range(2):
                    module.weight[(channel, *centre, channel)] = 1  # (out, z, y, x, in)
    return encoder


def centres(batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All voxels of the grid: coors (N, 4) [batch, z, y, x] and their centres (N, 2) x, y."""
    coors = torch.ones(batch_size, *SHAPE).nonzero()
    low, size = torch.tensor(RANGE[:2]), torch.tensor(VOXEL[:2])
    return coors, low + (coors[:, [3, 2]] + 0.5) * size


def test_an_encoder_that_writes_coordinates_reads_back_coordinates():
    coors, xy = centres(2)
    xy = xy + coors[:, :1] * 100  # the second sample writes other values
    with torch.no_grad():
        bev = copying_encoder()(xy, coors, 2)
    bev = bev.unflatten(1, (128, -1))[:, :2, 0]
    assert bev.shape == (2, 2, 4, 6)
    rng = np.random.default_rng(0)
    points = torch.tensor(rng.uniform(RANGE[:3], RANGE[3:], (500, 3)), dtype=torch.float32)
    points[:2] = torch.tensor([RANGE[:3], RANGE[3:]])
    found = read_bev(bev, points, [200, 300], RANGE, VOXEL)
    # Beyond the centres of the first and the last cell, its border is read.
    step = torch.tensor(VOXEL[:2])
    first = torch.tensor(RANGE[:2]) + 0.5 * step
    last = first + 8 * torch.tensor([5, 3]) * step
    expected = points[:, :2].clamp(first, last)
    expected[200:] += 100
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_samples_without_points():
    bev = torch.rand(3, 2, 4, 6)
    points = torch.tensor([[3.0, 4.0, 0.0]])
    found = read_bev(bev, points, [0, 1, 0], RANGE, VOXEL)
    torch.testing.assert_close(found, read_bev(bev[1:2], points, [1], RANGE, VOXEL))
    assert read_bev(bev, points[:0], [0, 0, 0], RANGE, VOXEL).shape == (0, 2)


def test_a_map_that_does_not_fit_the_range_is_refused():
    with pytest.raises(ValueError, match='5 cells along x does not fit 48 voxels'):
        read_bev(torch.rand(1, 2, 4, 5), torch.zeros(1, 3), [1], RANGE, VOXEL)


K = np.array([[50.0, 0, 47.5], [0, 50, 31.5], [0, 0, 1]])
FORWARD = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def small_model(channels_last=False, compile_dense=False):
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/nclr_second-small_lite0.py').model
    cfg.calib_head.update(num_voxels=64)
    cfg.update(channels_last=channels_last, compile_dense=compile_dense)
    return MODELS.build(cfg)


def batch(model, numbers, training=True):
    rng = np.random.default_rng(0)
    clouds = [
        torch.tensor(rng.uniform([4, -6, -2, 0], [20, 6, 0.5, 1], (n, 4)), dtype=torch.float32)
        for n in numbers
    ]
    samples = []
    for _ in clouds:
        sample = Det3DDataSample()
        sample.set_metainfo(dict(cam2img=K[None], lidar2cam=FORWARD[None]))
        samples.append(sample)
    images = [torch.randint(0, 255, (1, 3, 64, 96), dtype=torch.uint8) for _ in clouds]
    return model.data_preprocessor(
        dict(inputs=dict(points=clouds, img=images), data_samples=samples), training
    )


@pytest.mark.parametrize('numbers', [[300, 200], [300, 0], [0, 300], [1], [0]])
def test_it_trains_on_any_batch(numbers):
    torch.manual_seed(0)
    model = small_model().train()
    losses = model(**batch(model, numbers), mode='loss')
    assert all(value.isfinite().all() for value in losses.values())
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained.values())
    if min(numbers) > 100:
        still = [n for n, p in trained.items() if not p.grad.any() and 'overlap' not in n]
        assert still == []
    model.eval()
    results = model(**batch(model, numbers, training=False), mode='predict')
    assert all(r.pred_calib.lidar2cam.isfinite().all() for r in results)


def test_reading_and_the_linear_layer_may_change_places():
    """Against reading all channels of the map, then the layer."""
    torch.manual_seed(0)
    model = small_model().eval()
    voxels = batch(model, [200, 100], training=False)['inputs']['voxels']
    read = {}
    model.neck.register_forward_hook(lambda module, inputs, maps: read.update(bev=maps[0]))
    with torch.no_grad():
        found = model.extract_point_feat(voxels)
        grid = voxels['counts'], model.point_cloud_range, model.voxel_size
        wide = read_bev(read['bev'], voxels['xyz'], *grid)
        torch.testing.assert_close(found, model.calib_head.point_in(wide), atol=1e-5, rtol=1e-4)


def test_voxels_carry_the_means_of_their_points():
    model = small_model()
    inputs = batch(model, [50, 30])['inputs']
    voxels = inputs['voxels']
    assert sum(voxels['counts']) == len(voxels['voxels']) and len(voxels['counts']) == 2
    size = np.array(model.voxel_size)
    low = np.array(model.point_cloud_range[:3])
    for sample, points in enumerate(inputs['points']):
        cells = {}
        for point in points.numpy():
            cells.setdefault(tuple(((point[:3] - low) / size).astype(int)[::-1]), []).append(point)
        mine = voxels['coors'][:, 0] == sample
        found = {
            tuple(c.tolist()): xyz
            for c, xyz in zip(voxels['coors'][mine, 1:], voxels['xyz'][mine], strict=True)
        }
        assert set(found) == set(cells)
        for cell, members in cells.items():
            np.testing.assert_allclose(found[cell], np.mean(members, 0)[:3], atol=1e-5)


def test_state_dict_has_the_names_of_mmdet3ds_second():
    ours = small_model().state_dict()
    cfg = Config.fromfile(ROOT / 'configs/_base_/models/second-small_kitti.py').model
    second = MODELS.build(copy.deepcopy(cfg)).state_dict()
    backbone = {k for k in second if not k.startswith('bbox_head')}
    assert backbone and all(ours[k].shape == second[k].shape for k in backbone)


def test_the_bev_layers_are_dense_layers_too():
    model = small_model(channels_last=True)
    for module in (model.backbone, model.neck, model.img_backbone):
        weights = [p for p in module.parameters() if p.dim() == 4 and min(p.shape[1:]) > 1]
        assert weights
        assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


@pytest.mark.parametrize(
    'option',
    ['channels_last', pytest.param('compile_dense', marks=pytest.mark.slow)],
)
def test_the_bev_layers_give_the_same_features_and_gradients(option):
    torch.manual_seed(0)
    # In float64, for batch norm over few occupied cells magnifies what float32 rounds off.
    plain = small_model().double().train()
    other = small_model(**{option: True}).double().train()
    other.load_state_dict(plain.state_dict())
    channels = plain.backbone.blocks[0][0].in_channels
    bev = torch.randn(2, channels, 16, 24, dtype=torch.float64, requires_grad=True)
    found = []
    for model in (plain, other):
        (features,) = model.neck(model.backbone(bev))
        (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
        dense = nn.ModuleList([model.backbone, model.neck])
        found.append((features, bev.grad, *(p.grad for p in dense.parameters())))
        bev.grad = None
    assert all(gradient.any() for gradient in found[0])
    torch.testing.assert_close(found[1], found[0], atol=1e-9, rtol=1e-9)


DETECTORS = ['second_8xb6-80e_kitti-3d-3class', 'pv-rcnn_8xb2-80e_kitti-3d-3class']


@pytest.mark.parametrize('leaf', DETECTORS)
def test_detectors_take_every_tensor_of_the_pretraining(leaf, tmp_path):
    """The official VoxelNet's checkpoint fills SECOND and PV-RCNN of mmdet3d, by value."""
    torch.manual_seed(0)
    pretraining = ROOT / 'configs/nclr/nclr_second_spconv_r50-dino_1xb4-50e_kitti.py'
    model = MODELS.build(Config.fromfile(pretraining).model)
    path = str(tmp_path / 'epoch_1.pth')
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), path)
    torch.manual_seed(1)
    cfg = Config.fromfile(ROOT / f'configs/det3d/{leaf}.py')
    detector = MODELS.build(cfg.model)
    load_checkpoint(detector, path, map_location='cpu')
    state, given = detector.state_dict(), model.state_dict()
    kernels = 0
    for module in cfg.default_hooks.loaded_weights.modules:
        names = [name for name in state if name.startswith(f'{module}.')]
        assert names or module == 'voxel_encoder'  # a mean has no weights
        for name in names:
            assert torch.equal(state[name], given[name]), name
            kernels += given[name].dim() == 5
    assert kernels == 12
