"""Grids of voxels that a config states twice: equal, or refused with both numbers."""

from pathlib import Path

import pytest
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.models.voxel_grid import VoxelGridError, check_voxel_grid, sparse_shape

CONFIGS = Path(__file__).parents[2] / 'configs'
NCLR = 'nclr/nclr_second-small_spconv_lite0_1xb1-2500i_sim-kitti'
SECOND = 'det3d/second-small_1xb1-600i_sim-kitti-3d-3class'
PV_RCNN = 'det3d/pv-rcnn-small_1xb1-600i_sim-kitti-3d-3class'
CENTERPOINT = 'det3d/centerpoint_second_8xb4-20e_nus-3d'
FULL = ('det3d/second_8xb6-80e_kitti-3d-3class', 'det3d/pv-rcnn_8xb2-80e_kitti-3d-3class')
LAYER = 'data_preprocessor.voxel_layer.'
PTS = 'train_cfg.pts.'
WIDE = [-57.6, -57.6, -3, 57.6, 57.6, 1]


def built(name, options=()):
    init_default_scope('mmdet3d')
    config = Config.fromfile(CONFIGS / f'{name}.py')
    config.merge_from_dict({f'model.{key}': value for key, value in dict(options).items()})
    return MODELS.build(config.model)


def test_the_shape_of_the_published_networks():
    """Of mmdet3d's configs of SECOND and CenterPoint."""
    assert sparse_shape([0, -40, -3, 70.4, 40, 1], [0.05, 0.05, 0.1]) == [41, 1600, 1408]
    assert sparse_shape([-51.2, -51.2, -5, 51.2, 51.2, 3], [0.1, 0.1, 0.2]) == [41, 1024, 1024]


@pytest.mark.parametrize('name', [NCLR, SECOND, PV_RCNN, CENTERPOINT, *FULL])
def test_shipped_configs_agree_with_themselves(name):
    check_voxel_grid(built(name))


def test_pretraining_takes_range_and_shape_from_one_place():
    model = built(NCLR, {f'{LAYER}point_cloud_range': WIDE})
    assert model.point_cloud_range == WIDE
    # 115.2 m of voxels of 0.2 m, and 4 m with the layer that mmdet3d adds.
    assert model.middle_encoder.sparse_shape == [21, 576, 576]


@pytest.mark.parametrize(
    ('name', 'options', 'numbers'),
    [
        (NCLR, {'point_cloud_range': WIDE}, ['-57.6', '-38.4']),
        (NCLR, {'voxel_size': [0.1, 0.1, 0.2]}, ['0.1', '0.2']),
        (NCLR, {'middle_encoder.sparse_shape': [21, 192, 192]}, ['192', '[21, 384, 384]']),
        (SECOND, {f'{LAYER}point_cloud_range': [0, -28.8, -3, 57.6, 28.8, 1]}, ['256', '288']),
        (SECOND, {f'{LAYER}voxel_size': [0.1, 0.1, 0.2]}, ['256', '512']),
        (SECOND, {'middle_encoder.sparse_shape': [11, 256, 256]}, ['[11,', '[21,']),
        (
            SECOND,
            {'bbox_head.anchor_generator.ranges': [[0, -40, -1, 70.4, 40, -1]]},
            ['bbox_head.prior_generator.ranges', '70.4', '51.2'],
        ),
        (PV_RCNN, {'points_encoder.point_cloud_range': WIDE}, ['points_encoder', '-57.6', '51.2']),
        (PV_RCNN, {'points_encoder.voxel_size': [0.1, 0.1, 0.1]}, ['points_encoder', '0.1', '0.2']),
        (CENTERPOINT, {f'{PTS}grid_size': [1024, 1024, 40]}, ['grid_size', '1024', '2048']),
        (CENTERPOINT, {f'{PTS}point_cloud_range': WIDE}, ['-57.6', '-51.2']),
        (CENTERPOINT, {'test_cfg.pts.pc_range': [-54, -54]}, ['test_cfg.pts.pc_range', '-54']),
        (
            CENTERPOINT,
            {'pts_bbox_head.bbox_coder.pc_range': [-54, -54]},
            ['pts_bbox_head.bbox_coder.pc_range', '-54', '-51.2'],
        ),
        (
            CENTERPOINT,
            {'pts_bbox_head.bbox_coder.voxel_size': [0.1, 0.1]},
            ['pts_bbox_head.bbox_coder.voxel_size', '0.1', '0.05'],
        ),
    ],
)
def test_two_grids_are_refused_with_both(name, options, numbers):
    with pytest.raises(VoxelGridError) as error:
        check_voxel_grid(built(name, options))
    assert all(number in str(error.value) for number in numbers), error.value


def test_anchors_half_a_cell_inside_the_range_pass():
    ranges = [[0.4, -25.2, -1.78, 50.8, 25.2, -1.78]] * 3
    check_voxel_grid(built(SECOND, {'bbox_head.anchor_generator.ranges': ranges}))
