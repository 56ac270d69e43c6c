"""tools/visualize.py draws what models of each kind predict."""

import shutil

import cv2
import numpy as np
import pytest
import torch
from mmdet3d.registry import DATASETS
from mmdet3d.structures import PointData
from mmengine.config import Config

from nclr_mm.apis import init_model
from nclr_mm.datasets import converters
from nclr_mm.simulation.generate import generate
from nclr_mm.visualization.scene3d import Points

CALIBRATION = 'nclr/nclr_minkunet-small_spconv_lite0_1xb1-8000i_sim-streets.py'
SEMANTIC = 'semseg/minkunet-small_spconv_voxel0p3_1xb1-400i_sim-streets.py'
PANOPTIC = 'panoptic/minkunet-small_spconv_voxel0p3_1xb1-400i_sim-streets.py'
DETECTION = 'det3d/second-small_1xb1-600i_sim-kitti-3d-3class.py'


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('visualize')


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    """Two streets of two frames in two layouts."""
    out = tmp_path_factory.mktemp('drives')
    kitti = generate(out, 4, 5, 'kitti', scenes=2, progress=False)
    converters.create_reduced_clouds(kitti, converters.create_kitti_infos(kitti))
    semantic = generate(out, 4, 5, 'semantickitti', scenes=2, progress=False)
    converters.create_semantickitti_infos(semantic)
    return dict(det3d=kitti, semseg=semantic, panoptic=semantic, nclr=semantic)


@pytest.mark.parametrize(
    ('config', 'pictures', 'layers'),
    [
        (CALIBRATION, ['image_2'], ['LiDAR', 'image_2, true']),
        (SEMANTIC, ['classes'], ['classes, predicted', 'classes, true']),
        (
            PANOPTIC,
            ['classes'],
            ['classes, predicted', 'objects, predicted', 'classes, true', 'objects, true'],
        ),
        (DETECTION, ['boxes'], ['LiDAR', 'predicted', 'true']),
    ],
    ids=['calibration', 'semantic', 'panoptic', 'detection'],
)
def test_each_task(tool, repo, roots, config, pictures, layers, tmp_path, monkeypatch):
    torch.manual_seed(0)
    path = repo / 'configs' / config
    torch.save(dict(state_dict=init_model(path).state_dict()), tmp_path / 'model.pth')
    root = roots[config.split('/')[0]]
    scene = []
    monkeypatch.setattr(tool, 'write_scene', lambda path, found, title: scene.extend(found) or path)
    out = tmp_path / 'out'
    options = [f'test_dataloader.dataset.data_root={root}/']
    given = [str(path), str(tmp_path / 'model.pth'), '-o', str(out), '--html']
    assert tool.main([*given, '--cfg-options', *options]) == 0
    assert sorted(p.name for p in out.iterdir()) == [f'000000_{name}.jpg' for name in pictures]
    for file in out.iterdir():
        picture = cv2.imread(str(file))
        assert picture.shape[1] > 300 and picture.std() > 5
    keys = [layer for layer in scene if isinstance(layer, Points) and np.isnan(layer.xyz).all()]
    drawn = [layer.name for layer in scene if layer not in keys]
    assert [name for name in drawn if 'image_2, predicted' not in name] == layers
    if 'classes' in pictures:
        # All layers lie on each other: one is shown, and each colour is told in the legend.
        assert [layer.shown for layer in scene if layer not in keys] == [True] + [False] * (
            len(layers) - 1
        )
        told = {tuple(key.colors) for key in keys}
        grey = {(90, 90, 90)}
        assert {tuple(color) for color in scene[0].colors.tolist()} - grey <= told


def test_true_stuff_is_no_object(tool, roots, repo):
    """Labels number the stuff too, by class; only things are objects."""
    dataset = DATASETS.build(
        Config.fromfile(repo / 'configs' / PANOPTIC).test_dataloader.dataset
        | dict(data_root=f'{roots["panoptic"]}/')
    )
    loaded = dataset[0]
    sample, truth = loaded['data_samples'], loaded['data_samples'].eval_ann_info
    things = np.isin(truth['pts_semantic_mask'], dataset.metainfo['thing_labels'])
    assert things.any() and (truth['pts_instance_mask'][~things] > 0).any()
    sample.pred_pts_seg = PointData(pts_semantic_mask=torch.from_numpy(truth['pts_semantic_mask']))
    drawing = tool.draw_segmentation(loaded['inputs'], sample, dataset.metainfo)
    (objects,) = [layer for layer in drawing.layers if layer.name == 'objects, true']
    is_grey = (objects.colors == 60).all(axis=1)
    assert is_grey[~things].all() and not is_grey[things].any()


def test_wrong_input(tool, repo, roots, tmp_path, capsys):
    path = repo / 'configs' / CALIBRATION
    given = [str(path), str(tmp_path / 'gone.pth'), '-o', str(tmp_path / 'out')]
    with pytest.raises(SystemExit) as end:
        tool.main(given)
    assert end.value.code == 2 and 'gone.pth does not exist' in capsys.readouterr().err
    torch.save(dict(state_dict=init_model(path).state_dict()), tmp_path / 'gone.pth')
    options = [f'test_dataloader.dataset.data_root={roots["nclr"]}/']
    with pytest.raises(SystemExit):
        tool.main([*given, '--index', '99', '--cfg-options', *options])
    assert '--index 99 is not one of the' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.main([*given, '--cfg-options', *options, 'test_dataloader.dataset.nope=1'])
    assert 'The dataset of test_dataloader cannot be built' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.main([*given, '--device', 'foo', '--cfg-options', *options])
    assert "There is no device 'foo'" in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_a_broken_sample_ends_before_anything_is_written(tool, repo, roots, tmp_path, capsys):
    path = repo / 'configs' / CALIBRATION
    torch.save(dict(state_dict=init_model(path).state_dict()), tmp_path / 'model.pth')
    root = tmp_path / 'copy'
    shutil.copytree(roots['nclr'], root)
    images = sorted(root.rglob('image_2/*.png'))
    for image in images:
        if image.name == '000001.png':
            image.write_bytes(image.read_bytes()[:100])
    given = [str(path), str(tmp_path / 'model.pth'), '-o', str(tmp_path / 'out')]
    options = [f'test_dataloader.dataset.data_root={root}/']
    with pytest.raises(SystemExit) as end:
        tool.main([*given, '--index', '0', '1', '--cfg-options', *options])
    assert end.value.code == 2 and '000001.png is not a readable image' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
