"""tools/visualize.py draws what models of each kind predict."""

import cv2
import pytest
import torch

from nclr_mm.apis import init_model
from nclr_mm.datasets import converters
from nclr_mm.simulation.generate import generate

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
    drawn = []
    monkeypatch.setattr(
        tool,
        'write_scene',
        lambda path, found, title: drawn.extend(layer.name for layer in found) or path,
    )
    out = tmp_path / 'out'
    options = [f'test_dataloader.dataset.data_root={root}/']
    given = [str(path), str(tmp_path / 'model.pth'), '-o', str(out), '--html']
    assert tool.main([*given, '--cfg-options', *options]) == 0
    assert sorted(p.name for p in out.iterdir()) == [f'000000_{name}.jpg' for name in pictures]
    for file in out.iterdir():
        picture = cv2.imread(str(file))
        assert picture.shape[1] > 300 and picture.std() > 5
    assert [name for name in drawn if 'image_2, predicted' not in name] == layers


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
    assert not (tmp_path / 'out').exists()
