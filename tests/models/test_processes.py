"""Several processes train as one with all their samples. Oracle: that one process."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmdet3d.registry import MODELS
from mmdet3d.structures import Det3DDataSample
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel, convert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn import functional as F

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.models.backbones import CalibrationSPVCNN
from tests.conftest import REPO
from tests.models.test_backbones import SMALL
from tests.processes import run_in_processes

K = np.array([[50.0, 0, 47.5], [0, 50, 31.5], [0, 0, 1]])
FORWARD = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
#: voxels of the samples, by turns; unequal, lest the mean of the processes' means be that of all
SIZES = (200, 90, 0, 130)
FOUR = pytest.param(4, marks=pytest.mark.slow)  # two already show what more processes add


def voxels_of(sample: int) -> int:
    return SIZES[sample % len(SIZES)]


def detector(kind: str, **head) -> nn.Module:
    """A detector that draws all voxels, pairs and keypoints, so that nothing is left to chance."""
    init_default_scope('mmdet3d')
    torch.manual_seed(0)
    cfg = Config.fromfile(REPO / f'configs/_base_/models/nclr_{kind}-small_lite0.py').model
    contrast = dict(type='PointInfoNCE', gather_negatives=True)
    cfg.calib_head.update(
        num_voxels=max(SIZES),
        preferred_fraction=0.0,
        loss_contrast=contrast,
        loss_fused_contrast=contrast,
        **head,
    )
    return convert_sync_batchnorm(MODELS.build(cfg)).train()


def batch(model: nn.Module, samples: Sequence[int]) -> dict:
    """Samples, each made of its number."""
    points, images, structures = [], [], []
    for sample in samples:
        rng = np.random.default_rng(sample)
        # Cells of 0.5 m, more than a voxel: each point has a voxel of its own.
        cells = rng.permutation(np.argwhere(np.ones((32, 16, 6))))[: voxels_of(sample)]
        xyz = [4, -4, -1.5] + 0.5 * cells
        cloud = np.hstack([xyz, rng.uniform(0, 1, (len(xyz), 1))])
        points.append(torch.tensor(cloud, dtype=torch.float32))
        images.append(torch.from_numpy(rng.integers(0, 255, (1, 3, 64, 96), dtype=np.uint8)))
        structures.append(Det3DDataSample(metainfo=dict(cam2img=K[None], lidar2cam=FORWARD[None])))
    data = dict(inputs=dict(points=points, img=images), data_samples=structures)
    return model.data_preprocessor(data, training=True)


def add_voxel_of_zeros(model: nn.Module, sample: int) -> None:
    """Let the sparse network compute one more voxel, whose features nobody reads.

    It is what a process without any voxel takes part with (docs/configs.md).
    """
    network = getattr(model, 'middle_encoder', model.backbone)
    forward = network.forward

    def forward_with_it(features, coors, *args):
        place = coors.new_tensor([[sample, 0, 0, 0]])
        out = forward(F.pad(features, (0, 0, 0, 1)), torch.cat((coors, place)), *args)
        return out[: len(features)]  # all of a BEV map, which has a row for each sample

    network.forward = forward_with_it


def gradients(model: nn.Module, data: dict) -> dict:
    losses = model(**data, mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    statistics = {n: b for n, b in model.named_buffers() if 'running' in n}
    losses = {name: value.item() for name, value in losses.items() if 'loss' in name}
    return dict(losses=losses, gradients=found, statistics=statistics)


def train_in_a_process(kind: str, head: dict, samples: Sequence[int]) -> dict:
    model = detector(kind, **head)
    data = batch(model, [samples[dist.get_rank()]])
    result = gradients(MMDistributedDataParallel(model, broadcast_buffers=False), data)
    return {
        key: {name.removeprefix('module.'): value for name, value in values.items()}
        for key, values in result.items()
    }


@pytest.mark.parametrize(
    ('kind', 'head'),
    [
        (
            'minkunet',
            dict(with_pose_loss=True, keypoints=dict(number=max(SIZES), thresholds=(0.0,))),
        ),
        ('second', dict()),
    ],
)
@pytest.mark.parametrize(
    'samples',
    [
        # (Of 1 in place of 5, rounding decides which of two poses EPnP finds from the matches of an
        # untrained network.)
        (0, 5),
        # Without a part of the empty one in their statistics the others would wait for it. (Of 0 in
        # place of 4, SECOND has a value so near a ReLU's kink that rounding decides on its slope.)
        (2, 4),
        pytest.param((0, 5, 2, 3), marks=pytest.mark.slow),  # two already show what more add
    ],
    ids=lambda samples: '-'.join(str(voxels_of(sample)) for sample in samples),
)
def test_gradients_and_statistics_are_those_of_one_process(tmp_path, kind, head, samples):
    number = len(samples)
    found = run_in_processes(train_in_a_process, number, tmp_path / 'run', kind, head, samples)
    model = detector(kind, **head)
    for index, sample in enumerate(samples):
        if voxels_of(sample) == 0:
            add_voxel_of_zeros(model, index)
    expected = gradients(model, batch(model, samples))
    assert expected['losses']['loss_contrast'] > 1
    for name, value in expected['losses'].items():
        mean = sum(part['losses'][name] for part in found) / number
        assert mean == pytest.approx(value, rel=1e-3), name
    for part in found:
        torch.testing.assert_close(part['statistics'], expected['statistics'], rtol=1e-3, atol=1e-4)
        for name, value in expected['gradients'].items():
            difference = (part['gradients'][name] - value).norm()
            # The bias before a batch norm has no gradient but for rounding.
            assert difference <= 5e-3 * value.norm() + 1e-4, name


STEPS = 5


def curve(samples_of_a_step: int) -> list[float]:
    """Losses of some steps of AdamW, each on samples of its own."""
    model = detector('minkunet')
    trained = model
    rank, own = 0, samples_of_a_step
    if dist.is_initialized():
        rank, own = dist.get_rank(), samples_of_a_step // dist.get_world_size()
        trained = MMDistributedDataParallel(model, broadcast_buffers=False)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for step in range(STEPS):
        first = step * samples_of_a_step + rank * own
        optimiser.zero_grad()
        values = trained(**batch(model, list(range(first, first + own))), mode='loss')
        loss = sum(value for name, value in values.items() if 'loss' in name)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize('number', [2, FOUR])
def test_the_loss_curve_is_that_of_one_process(tmp_path, number):
    parts = run_in_processes(curve, number, tmp_path / 'run', 4)
    found = [sum(step) / number for step in zip(*parts, strict=True)]
    expected = curve(4)
    assert abs(expected[-1] - expected[0]) > 0.5  # it learns
    assert found == pytest.approx(expected, rel=0.01)


def spvcnn_features() -> torch.Tensor:
    torch.manual_seed(0)
    network = CalibrationSPVCNN(**SMALL, drop_ratio=0.0)
    network = convert_sync_batchnorm(network).train()
    coors = torch.unique(torch.randint(0, 20, (400, 3)), dim=0).int()
    halves = coors[::2], coors[1::2]  # of different numbers of voxels
    coors = torch.cat([F.pad(half, (1, 0), value=b) for b, half in enumerate(halves)])
    if dist.is_initialized():
        coors = coors[coors[:, 0] == dist.get_rank()]
        coors[:, 0] = 0
    return network(coors[:, 1:2] / 10.0, coors).detach()


def test_spvcnn_features_are_those_of_one_process(tmp_path):
    found = run_in_processes(spvcnn_features, 2, tmp_path / 'run')
    torch.testing.assert_close(torch.cat(found), spvcnn_features(), atol=1e-4, rtol=1e-3)
