"""Grids of voxels that a config states twice: equal, or refused with both numbers."""

from pathlib import Path

import mmdet3d
import pytest
from mmdet3d.models.middle_encoders import SparseEncoder
from mmdet3d.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.models.voxel_grid import VoxelGridError, check_voxel_grid, sparse_shape

CONFIGS = Path(__file__).parents[2] / 'configs'
PUBLISHED = Path(mmdet3d.__file__).parent / '.mim/configs'
NCLR = 'nclr/nclr_second-small_spconv_lite0_1xb1-2500i_sim-kitti'
SECOND = 'det3d/second-small_1xb1-600i_sim-kitti-3d-3class'
PV_RCNN = 'det3d/pv-rcnn-small_1xb1-600i_sim-kitti-3d-3class'
CENTERPOINT = 'det3d/centerpoint_second_8xb4-20e_nus-3d'
FULL = ('det3d/second_8xb6-80e_kitti-3d-3class', 'det3d/pv-rcnn_8xb2-80e_kitti-3d-3class')
PILLARS = 'pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class'
DYNAMIC = 'dynamic_voxelization/pointpillars_dv_secfpn_8xb6-160e_kitti-3d-car'
PARTA2 = 'parta2/parta2_hv_secfpn_8xb2-cyclic-80e_kitti-3d-3class'
CYLINDER = 'cylinder3d/cylinder3d_4xb4-3x_semantickitti'
LAYER = 'data_preprocessor.voxel_layer.'
PTS = 'train_cfg.pts.'
WIDE = [-57.6, -57.6, -3, 57.6, 57.6, 1]


def built(name, options=()):
    init_default_scope('mmdet3d')
    own = CONFIGS / f'{name}.py'
    config = Config.fromfile(own if own.is_file() else PUBLISHED / f'{name}.py')
    config.merge_from_dict({f'model.{key}': value for key, value in dict(options).items()})
    return MODELS.build(config.model)


def test_the_shape_of_the_published_networks():
    """Of mmdet3d's configs of SECOND and CenterPoint."""
    assert sparse_shape([0, -40, -3, 70.4, 40, 1], [0.05, 0.05, 0.1]) == [41, 1600, 1408]
    assert sparse_shape([-51.2, -51.2, -5, 51.2, 51.2, 3], [0.1, 0.1, 0.2]) == [41, 1024, 1024]


@pytest.mark.parametrize('name', [NCLR, SECOND, PV_RCNN, CENTERPOINT, *FULL])
def test_shipped_configs_agree_with_themselves(name):
    check_voxel_grid(built(name))


@pytest.mark.parametrize('name', [PILLARS, DYNAMIC, PARTA2, CYLINDER])
def test_configs_of_mmdet3d_pass(name):
    """Those of Cylinder3D state a cylindrical grid by its shape, which has one cell more."""
    check_voxel_grid(built(name))


@pytest.mark.parametrize('options', [{}, {'middle_encoder.sparse_shape': None}])
def test_pretraining_takes_range_and_shape_from_one_place(options):
    model = built(NCLR, {f'{LAYER}point_cloud_range': WIDE, **options})
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
        (SECOND, {'middle_encoder.sparse_shape': None}, ['None', '256']),
        (SECOND, {'middle_encoder.sparse_shape': [21, 512]}, ['[21, 512]', '256']),
        (SECOND, {'middle_encoder.sparse_shape': [512, 256, 21]}, ['[512, 256, 21]']),
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
        (PILLARS, {f'{LAYER}voxel_size': [0.32, 0.32, 4]}, ['496, 432', '248, 216', '0.16']),
        (PILLARS, {'middle_encoder.output_shape': [432, 496]}, ['[432, 496]', '[496, 432]']),
        (PILLARS, {'voxel_encoder.voxel_size': [0.16, 0.32, 4]}, ['0.16, 0.32', '0.16, 0.16']),
        (DYNAMIC, {'voxel_encoder.voxel_size': [0.32, 0.16, 4]}, ['0.32, 0.16', '0.16, 0.16']),
        (PILLARS, {'voxel_encoder.point_cloud_range': WIDE}, ['voxel_encoder', '-57.6', '-39.68']),
        (PARTA2, {'middle_encoder.sparse_shape': [41, 800, 704]}, ['800, 704', '1600, 1408']),
        (PARTA2, {f'{LAYER}voxel_size': [0.1, 0.1, 0.1]}, ['1600, 1408', '800, 704']),
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


def test_anchors_may_be_half_a_cell_inside_the_range():
    """At most 8 voxels of 0.2 m, which are 1.6 m."""
    inside = 'bbox_head.anchor_generator.ranges'
    check_voxel_grid(built(SECOND, {inside: [[0.4, -25.2, -1.78, 50.8, 25.2, -1.78]] * 3}))
    with pytest.raises(VoxelGridError, match=r'ranges is .*49\.4.*, expected x and y from'):
        check_voxel_grid(built(SECOND, {inside: [[0.4, -25.2, -1.78, 49.4, 25.2, -1.78]] * 3}))


def test_the_order_of_axes_in_bevfusion():
    model = built(SECOND)
    z, y, x = model.middle_encoder.sparse_shape
    model.middle_encoder.sparse_shape = [x, y, z]
    model.middle_encoder.__class__ = type('BEVFusionSparseEncoder', (SparseEncoder,), {})
    check_voxel_grid(model)
    model.middle_encoder.sparse_shape = [z, y, x]
    with pytest.raises(VoxelGridError, match='sparse_shape'):
        check_voxel_grid(model)


def test_the_number_of_voxels_along_z_is_not_compared():
    """BEVFusion states one more; the head of CenterPoint uses x and y."""
    check_voxel_grid(built(CENTERPOINT, {f'{PTS}grid_size': [2048, 2048, 41]}))


@pytest.mark.parametrize('name', [NCLR, SECOND])
@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('voxel_size', [0.2, 0.2], r'voxel_size is \[0\.2, 0\.2\], expected 3 finite numbers'),
        ('voxel_size', 0.2, r'voxel_size is 0\.2, expected 3 finite numbers'),
        ('voxel_size', None, 'voxel_size is None, expected 3'),
        ('voxel_size', [0.2, 0.2, 0], r'\[0\.2, 0\.2, 0\], expected a whole number .* along z'),
        ('voxel_size', [-0.2, 0.2, 0.2], 'expected a whole number of voxels along x'),
        ('voxel_size', [0.2, float('nan'), 0.2], 'nan, 0.2.*, expected 3 finite numbers'),
        ('point_cloud_range', WIDE[:5], r'57\.6\], expected 6 finite numbers'),
        ('point_cloud_range', [*WIDE[3:], *WIDE[:3]], r'57\.6 to -57\.6 m are -576 voxels of 0\.2'),
        ('point_cloud_range', [-57.5, *WIDE[1:]], r'along x: -57\.5 to 57\.6 m are 575\.5 voxels'),
        ('point_cloud_range', [*WIDE[:5], 1.1], 'along z: -3 to 1.1 m are 20.5 voxels'),
    ],
)
def test_a_malformed_voxel_layer(name, key, value, message):
    options = {f'{LAYER}voxel_size': [0.2, 0.2, 0.2], f'{LAYER}{key}': value}
    with pytest.raises(VoxelGridError, match=message) as error:
        built(name, options)
    assert str(error.value).startswith('model.data_preprocessor.voxel_layer')


def test_a_reversed_range_in_a_layer_of_mmdet3d():
    model = built(PILLARS)
    model.data_preprocessor.voxel_layer.point_cloud_range = [69.12, -39.68, -3, 0, 39.68, 1]
    with pytest.raises(VoxelGridError, match=r'69\.12 to 0 m are -432 voxels of 0\.16'):
        check_voxel_grid(model)
