"""Every base config of a data set gives samples of the size that its name promises."""

import pytest
from mmdet3d.registry import DATASETS
from mmengine.config import Config

from nclr_mm.datasets import converters

# Config: layout, cameras, (height, width), batch size, samples in train and val for the small
# data sets of these tests (two frames of one scene; four of one sequence; one frame).
EXPECTED = {
    'nus-calib-224x416': ('nuscenes', 6, (224, 416), 10, 2, 2),
    'sim-nus-calib': ('nuscenes', 6, (224, 416), 2, 2, 2),
    'real-nus-frame': ('nuscenes', 6, (224, 416), 1, 500, 20),
    'semantickitti-calib-160x512': ('semantickitti', 1, (160, 512), 4, 4, 4),
    'real-semantickitti-sequence': ('semantickitti', 1, (160, 512), 1, 80, 16),
    'sim-semantickitti': ('semantickitti', 1, (160, 512), 1, 80, 16),
    'sim-streets': ('semantickitti', 1, (160, 512), 1, 4, 4),
    'kitti-calib-160x512': ('kitti', 1, (160, 512), 4, 1, 1),
    'sim-kitti-calib': ('kitti', 1, (160, 512), 1, 1, 1),
}


@pytest.fixture(scope='module')
def layouts(nuscenes_root, semantickitti_root, kitti_root, tmp_path_factory):
    out = tmp_path_factory.mktemp('infos')
    return dict(
        nuscenes=(nuscenes_root, converters.create_nuscenes_infos(nuscenes_root, out)),
        kitti=(kitti_root, converters.create_kitti_infos(kitti_root, out)),
        semantickitti=(
            semantickitti_root,
            converters.create_semantickitti_infos(semantickitti_root, out),
        ),
    )


def test_all_base_configs_are_listed_here(repo):
    paths = (repo / 'configs/_base_/datasets').glob('*.py')
    metrics = {path.stem: Config.fromfile(path).val_evaluator.type for path in paths}
    # Those of fine-tuning are tested with the configs that use them.
    others = {name for name, metric in metrics.items() if metric != 'CalibrationMetric'}
    expected = {'LidarSegMetric', 'PanopticMetric', 'KittiDetectionMetric'}
    assert {metrics[name] for name in others} == expected
    assert set(metrics) - others == set(EXPECTED)


@pytest.mark.parametrize('name', EXPECTED)
def test_base_config(name, repo, layouts):
    layout, cameras, size, batch_size, train, val = EXPECTED[name]
    config = Config.fromfile(repo / 'configs/_base_/datasets' / f'{name}.py')
    root, infos = layouts[layout]
    assert config.train_dataloader.batch_size == batch_size
    assert config.val_evaluator.type == config.test_evaluator.type == 'CalibrationMetric'
    for split, length in dict(train=train, val=val, test=val).items():
        loader = config[f'{split}_dataloader']
        assert loader.dataset.data_root.startswith('data/')
        assert loader.sampler.shuffle == (split == 'train')
        assert loader.dataset.get('test_mode', False) == (split != 'train')
        loader.dataset.update(data_root=str(root), ann_file=str(infos['train']))
        dataset = DATASETS.build(loader.dataset)
        assert len(dataset) == length
        first, again = dataset[0], dataset[0]
        assert first['inputs']['img'].shape == (cameras, 3, *size)
        intensity = first['inputs']['points'][:, 3]
        assert intensity.abs().max() <= (20 / 255 if layout == 'nuscenes' else 20) + 1e-6
        same = (first['data_samples'].perturbation == again['data_samples'].perturbation).all()
        assert same == (split != 'train')  # evaluation is repeatable, training is not
