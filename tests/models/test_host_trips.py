"""Voxelisation, targets and readings wait for no device but for the numbers that they need."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nclr_mm.models.data_preprocessors import CalibrationDataPreprocessor
from nclr_mm.models.heads.targets import Cameras, calibration_targets
from nclr_mm.models.layers.bev import read_bev
from nclr_mm.models.layers.point_voxel import PointVoxelExchange


class HostTrips(TorchDispatchMode):
    """Counts operators whose result on a GPU the host must wait for.

    ``tolist`` is not among what is dispatched, nor are lists as indices.
    """

    NAMES = (
        '_local_scalar_dense',
        '_unique2',
        'bincount',
        'equal',
        'masked_select',
        'nonzero',
        'unique_dim',
    )

    def __init__(self):
        super().__init__()
        self.seen = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name == 'index':
            masks = [i for i in args[1] if i is not None and i.dtype == torch.bool]
            self.seen['boolean index'] += len(masks)
        elif name == 'repeat_interleave':
            self.seen[name] += (kwargs or {}).get('output_size') is None
        elif name in self.NAMES:
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


def trips(call) -> Counter:
    with HostTrips() as mode:
        call()
    return +mode.seen


@pytest.mark.parametrize(
    ('call', 'name'),
    [
        (lambda: torch.ones(3).sum().item(), '_local_scalar_dense'),
        (lambda: bool((torch.ones(3) > 0).all()), '_local_scalar_dense'),
        (lambda: torch.arange(3).bincount(), 'bincount'),
        (lambda: torch.arange(3).repeat_interleave(torch.arange(3)), 'repeat_interleave'),
        (lambda: torch.arange(3)[torch.arange(3) > 1], 'boolean index'),
        (lambda: torch.arange(3).unique(), '_unique2'),
    ],
)
def test_trips_are_seen(call, name):
    assert trips(call)[name]


@pytest.mark.parametrize('size', [2, 5])
@pytest.mark.parametrize('max_voxels', [None, 20])
def test_voxelisation(max_voxels, size):
    preprocessor = CalibrationDataPreprocessor(
        voxel_size=[0.2] * 3, max_voxels=max_voxels, feature_columns=[3]
    )
    points = [torch.rand(100, 4) for _ in range(size)]
    # Finite or not; the voxels there are; those that are drawn.
    wanted = Counter({'_local_scalar_dense': 1, '_unique2': 1})
    if max_voxels is not None:
        wanted['boolean index'] = 1
    assert trips(lambda: preprocessor.make_voxels(points, training=True)) == wanted


@pytest.mark.parametrize('occlusion', [None, dict(radius=1)])
def test_targets(occlusion):
    pose = torch.eye(4).expand(2, 3, 4, 4)
    intrinsics = torch.tensor([[30.0, 0, 20], [0, 30, 10], [0, 0, 1]]).expand(2, 3, 3, 3)
    cameras = Cameras(intrinsics, pose, (20, 40), (5, 10))
    xyz, mask = torch.rand(2, 50, 3) + 1, torch.ones(2, 50, dtype=torch.bool)
    assert not trips(lambda: calibration_targets(xyz, mask, cameras, occlusion))


def test_exchange_of_points_and_voxels():
    voxels = torch.cartesian_prod(torch.arange(2), *(torch.arange(4),) * 3)
    points = torch.cat([voxels[:, :1], 2 * voxels[:, 1:]], dim=1)

    def exchange():
        both = PointVoxelExchange(points, voxels, 2)
        return both.to_voxels(both.to_points(torch.rand(len(voxels), 3)))

    assert not trips(exchange)


def test_reading_a_map():
    bev, xyz = torch.rand(2, 3, 8, 8), torch.rand(50, 3)
    assert not trips(lambda: read_bev(bev, xyz, [20, 30], [0, 0, 0, 16, 16, 4], [1, 1, 1]))
