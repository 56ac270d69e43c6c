"""Voxelisation against a dictionary of cells."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from mmdet3d.models.data_preprocessors import Det3DDataPreprocessor
from mmdet3d.structures import Det3DDataSample

from nclr_mm.models.data_preprocessors import CalibrationDataPreprocessor, voxelize
from nclr_mm.models.data_preprocessors.voxelize import draw_per_sample


def by_hand(points, batch_index, size):
    cells = defaultdict(list)
    for point, sample in zip(points, batch_index, strict=True):
        cells[(int(sample), *np.floor(point[:3] / size).astype(int))].append(point)
    lowest = {b: np.min([k[1:] for k in cells if k[0] == b], axis=0) for b in set(batch_index)}
    return {(k[0], *(np.array(k[1:]) - lowest[k[0]])): np.mean(v, axis=0) for k, v in cells.items()}


def test_voxels_are_the_cells_and_means_of_a_dictionary():
    rng = np.random.default_rng(0)
    # Binary fractions, so that a cell's border is the same in float32 and float64.
    points = rng.integers(-64, 64, (500, 4)) / 16.0
    batch_index = np.sort(rng.choice([0, 2], 500))  # sample 1 is empty
    expected = by_hand(points, batch_index, 0.5)
    features, coors, point2voxel = voxelize(
        torch.tensor(points, dtype=torch.float32),
        torch.tensor(batch_index),
        torch.tensor([0.5, 0.5, 0.5]),
        3,
    )
    assert len(coors) == len(expected)
    for coor, feature in zip(coors.tolist(), features.numpy(), strict=True):
        np.testing.assert_allclose(feature, expected[tuple(coor)], atol=1e-5)
    assert (coors[:, 0].diff() >= 0).all()
    own = coors[point2voxel]
    cells = np.floor(points[:, :3] / 0.5)
    for b in (0, 2):
        chosen = batch_index == b
        lowest = cells[chosen].min(axis=0)
        np.testing.assert_array_equal(own[chosen, 1:].numpy(), cells[chosen] - lowest)


def test_no_points_give_no_voxels():
    features, coors, point2voxel = voxelize(
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.ones(3), 2
    )
    assert features.shape == (0, 4) and coors.shape == (0, 4) and len(point2voxel) == 0


def test_draw_per_sample_keeps_all_of_small_samples_and_a_uniform_part_of_large_ones():
    torch.manual_seed(0)
    batch_index = torch.tensor([0] * 3 + [2] * 20)
    hits = torch.zeros(23)
    for _ in range(2000):
        keep = draw_per_sample(batch_index, 3, 5)
        assert keep.tolist() == sorted(set(keep.tolist()))
        assert (batch_index[keep] == 0).sum() == 3 and (batch_index[keep] == 2).sum() == 5
        hits[keep] += 1
    # 2000 draws of 5 out of 20: mean 500, standard deviation 19.
    assert (hits[3:] - 500).abs().max() < 100


def batch(points, images):
    return dict(
        inputs=dict(points=points, img=images), data_samples=[Det3DDataSample() for _ in points]
    )


def test_preprocessor_normalises_rgb_and_limits_voxels_in_training_only():
    torch.manual_seed(0)
    preprocessor = CalibrationDataPreprocessor(
        voxel_size=[0.5, 0.5, 0.5],
        max_voxels=7,
        feature_columns=[3],
        mean=[1.0, 2.0, 3.0],
        std=[2.0, 4.0, 8.0],
        bgr_to_rgb=True,
    )
    bgr = torch.randint(0, 255, (2, 3, 32, 64), dtype=torch.uint8)
    points = [torch.rand(50, 4) * 10, torch.rand(3, 4) * 10]
    out = preprocessor(batch(points, [bgr, bgr]), training=True)['inputs']
    rgb = bgr[:, [2, 1, 0]].float()
    expected = (rgb - torch.tensor([1.0, 2, 3]).view(3, 1, 1)) / torch.tensor([2.0, 4, 8]).view(
        3, 1, 1
    )
    assert out['imgs'].shape == (2, 2, 3, 32, 64)
    torch.testing.assert_close(out['imgs'][0], expected)
    assert out['voxels']['counts'] == [7, 3]
    assert out['voxels']['voxels'].shape == (10, 1) and out['voxels']['xyz'].shape == (10, 3)
    out = preprocessor(batch(points, [bgr, bgr]), training=False)['inputs']
    assert out['voxels']['counts'][0] > 7


def test_different_image_sizes_in_a_batch_are_refused():
    preprocessor = CalibrationDataPreprocessor(voxel_size=[0.5, 0.5, 0.5])
    images = [
        torch.zeros(1, 3, 32, 64, dtype=torch.uint8),
        torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
    ]
    with pytest.raises(ValueError, match='same number of cameras and the same image size'):
        preprocessor(batch([torch.rand(5, 4)] * 2, images))


def test_images_are_those_of_mmdet3d_to_the_bit():
    arguments = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    for order in (dict(), dict(bgr_to_rgb=True)):
        images = [torch.randint(0, 256, (3, 3, 32, 64), dtype=torch.uint8) for _ in range(2)]
        points = [torch.rand(5, 4) for _ in images]
        theirs = Det3DDataPreprocessor(**arguments, **order)(batch(points, images))
        ours = CalibrationDataPreprocessor(voxel_size=[0.5] * 3, **arguments, **order)
        assert torch.equal(ours(batch(points, images))['inputs']['imgs'], theirs['inputs']['imgs'])


def test_grey_images_are_refused():
    preprocessor = CalibrationDataPreprocessor(voxel_size=[0.5, 0.5, 0.5])
    images = [torch.zeros(2, 1, 32, 64, dtype=torch.uint8)]
    with pytest.raises(ValueError, match=r'must be \(cameras, 3, height, width\), not \(2, 1'):
        preprocessor(batch([torch.rand(5, 4)], images))


@pytest.mark.parametrize('kwargs', [dict(voxel_size=[0.1, 0.1]), dict(voxel_size=[0.1, 0.1, -1.0])])
def test_bad_voxel_sizes_are_refused(kwargs):
    with pytest.raises(ValueError, match='voxel_size'):
        CalibrationDataPreprocessor(**kwargs)


def test_points_that_are_not_finite_are_refused():
    preprocessor = CalibrationDataPreprocessor(voxel_size=[0.2] * 3)
    points = torch.rand(5, 4)
    points[3, 1] = torch.nan
    with pytest.raises(ValueError, match=r'have \[0, 1\] that are not'):
        preprocessor.make_voxels([torch.rand(4, 4), points], training=True)
    with pytest.raises(ValueError, match='padding would count as image'):
        CalibrationDataPreprocessor(voxel_size=[0.2] * 3, pad_size_divisor=32)
