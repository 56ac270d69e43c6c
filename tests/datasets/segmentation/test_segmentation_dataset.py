"""Labelled scans in each layout, read as the development kits read them; faults are named."""

import shutil

import numpy as np
import pytest
from mmdet3d.registry import DATASETS
from mmengine.registry import init_default_scope
from nuscenes import NuScenes
from nuscenes.eval.lidarseg.utils import LidarsegClassMapper
from nuscenes.utils.data_io import load_bin_file

from nclr_mm.datasets import converters
from nclr_mm.datasets.converters.common import write_infos
from nclr_mm.datasets.infos import read_infos
from nclr_mm.simulation.generate import generate

LAYOUTS = dict(
    nuscenes='NuScenesSegmentationDataset',
    semantickitti='SemanticKittiSegmentationDataset',
    semanticposs='SemanticPossDataset',
)


@pytest.fixture(scope='module', autouse=True)
def scope():
    init_default_scope('mmdet3d')


@pytest.fixture(scope='module')
def drives(tmp_path_factory):
    """Two streets of two frames in each layout, and their info files."""
    out = tmp_path_factory.mktemp('drives')
    roots = {}
    for layout in LAYOUTS:
        roots[layout] = generate(out, 4, 5, layout, scenes=2, progress=False)
        getattr(converters, f'create_{layout}_infos')(roots[layout])
    return roots


def build(root, layout, split='train', panoptic=False, **kwargs):
    columns = 5 if layout == 'nuscenes' else 4
    keys = ['pts_semantic_mask', *(['pts_instance_mask'] if panoptic else [])]
    prefix = {}
    if layout == 'nuscenes':
        prefix = dict(
            pts_semantic_mask='lidarseg/v1.0-mini', pts_panoptic_mask='panoptic/v1.0-mini'
        )
    return DATASETS.build(
        dict(
            type=LAYOUTS[layout],
            data_root=str(root),
            ann_file=f'{layout}_infos_{split}.pkl',
            data_prefix=prefix,
            panoptic=panoptic,
            pipeline=[
                dict(type='LoadLidarPoints', load_dim=columns, use_dim=4),
                dict(type='LoadPointLabels', with_instances=panoptic),
                dict(
                    type='Pack3DDetInputs',
                    keys=['points', *keys],
                    meta_keys=['sample_name', 'lidar_path', 'token'],
                ),
            ],
            **kwargs,
        )
    )


def mask(sample, key='pts_semantic_mask'):
    return np.asarray(sample['data_samples'].gt_pts_seg[key])


def test_nuscenes_labels_are_the_devkits(drives):
    root = drives['nuscenes']
    nusc = NuScenes('v1.0-mini', str(root), verbose=False)
    mapper = LidarsegClassMapper(nusc)
    dataset = build(root, 'nuscenes', panoptic=True)
    assert len(dataset) == 2
    for sample in dataset:
        meta = sample['data_samples'].metainfo
        token = nusc.get('sample', meta['token'])['data']['LIDAR_TOP']
        raw = load_bin_file(f'{root}/{nusc.get("lidarseg", token)["filename"]}', 'lidarseg')
        expected = mapper.convert_label(raw).astype(int) - 1
        np.testing.assert_array_equal(mask(sample), np.where(expected < 0, 16, expected))
        both = load_bin_file(f'{root}/{nusc.get("panoptic", token)["filename"]}', 'panoptic')
        found = mask(sample, 'pts_instance_mask')
        # The same points form an object, whatever its number; what is none is one segment a class.
        things = both % 1000 > 0
        pairs = {*zip(both[things].tolist(), found[things].tolist(), strict=True)}
        assert len(pairs) == len(np.unique(both[things])) == len(np.unique(found[things])) > 1
        np.testing.assert_array_equal(found[~things], mask(sample)[~things])


@pytest.mark.parametrize('layout', ['semantickitti', 'semanticposs'])
def test_kitti_like_labels_by_hand(drives, layout):
    dataset = build(drives[layout], layout, panoptic=True)
    table = dataset.LABELS
    for sample in dataset:
        scan = sample['data_samples'].metainfo['lidar_path']
        raw = np.fromfile(scan.replace('velodyne', 'labels').replace('.bin', '.label'), '<u4')
        for label, group in enumerate(table.raw):
            np.testing.assert_array_equal(mask(sample) == label, np.isin(raw & 0xFFFF, group))
        found = mask(sample, 'pts_instance_mask')
        things = raw >> 16 > 0
        assert len(np.unique(found[things])) == len(np.unique(raw[things])) > 1
        np.testing.assert_array_equal(found[~things], mask(sample)[~things])
        assert len({*mask(sample).tolist()}) > 4


@pytest.mark.parametrize('layout', LAYOUTS)
def test_metrics_find_what_they_need(drives, layout):
    meta = build(drives[layout], layout, test_mode=True).metainfo
    number = len(meta['classes'])
    assert meta['ignore_index'] == number and list(meta['label2cat']) == list(range(number))
    sample = build(drives[layout], layout, split='val', test_mode=True)[0]
    annotation = sample['data_samples'].eval_ann_info
    np.testing.assert_array_equal(annotation['pts_semantic_mask'], mask(sample))


def test_fractions_choose_scenes_and_say_which(drives, caplog):
    dataset = build(drives['nuscenes'], 'nuscenes', fraction=0.01, repeats=3)
    assert len(dataset) == 6
    with pytest.raises(ValueError, match='selects nothing of 1 scenes'):
        build(drives['nuscenes'], 'nuscenes', fraction=0.01, offset=1)
    part = build(drives['semantickitti'], 'semantickitti', fraction=0.5)
    assert [part.get_data_info(i)['sample_name'] for i in range(len(part))] == ['00_000000']


@pytest.mark.parametrize('choice', [dict(protocol='all'), dict(offset=-4), dict(fraction=0)])
def test_a_wrong_choice_is_an_error_also_of_all_labels(drives, choice):
    with pytest.raises(ValueError, match='must'):
        build(drives['semantickitti'], 'semantickitti', **choice)


def test_faults_of_label_files_are_named(drives, tmp_path):
    root = shutil.copytree(drives['semantickitti'], tmp_path / 'semantickitti')
    dataset = build(root, 'semantickitti')
    path = root / 'sequences/00/labels/000000.label'
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    number = len(whole) // 4
    with pytest.raises(ValueError, match=rf'000000\.label labels {number - 1} points, .* {number}'):
        dataset[0]
    path.write_bytes(np.full(number, 77, '<u4').tobytes())
    with pytest.raises(ValueError, match=rf'unknown raw labels \[77\] on {number} of {number}'):
        dataset[0]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r'label file .*000000\.label is missing'):
        dataset[0]


def test_a_wrong_folder_of_labels_is_an_error_before_training(drives):
    with pytest.raises(
        FileNotFoundError, match=r'lidarseg/v1\.0-trainval/.*_lidarseg\.bin.*version'
    ):
        DATASETS.build(
            dict(
                type='NuScenesSegmentationDataset',
                data_root=str(drives['nuscenes']),
                ann_file='nuscenes_infos_train.pkl',
            )
        )


def test_frames_without_labels_are_an_error_before_training(drives, tmp_path):
    root = shutil.copytree(drives['nuscenes'], tmp_path / 'nuscenes')
    infos = read_infos(str(root / 'nuscenes_infos_train.pkl'), '')
    for entry in infos['data_list']:
        del entry['pts_semantic_mask_path']
    write_infos(root / 'nuscenes_infos_train.pkl', dict(dataset='nuscenes'), infos['data_list'])
    with pytest.raises(
        ValueError, match=r'2 of 2 frames have no semantic labels .* lidarseg\.json'
    ):
        build(root, 'nuscenes')
    scans = build(root, 'nuscenes', test_mode=True, load_eval_anns=False)
    assert len(scans) == 2
    assert len(scans[0]['inputs']['points']) > 1000
    assert 'pts_semantic_mask' not in scans[0]['data_samples'].gt_pts_seg


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(metainfo=dict(classes=('car', 'road'))), r"got \['car', 'road'\]; for others derive"),
        (dict(ignore_index=255), 'ignores the label 19, got ignore_index=255'),
    ],
)
def test_other_classes_than_those_of_the_map_are_refused(drives, change, message):
    with pytest.raises(ValueError, match=message):
        build(drives['semantickitti'], 'semantickitti', **change)
