"""Class maps against nuscenes-devkit, mmdet3d and the published table of SemanticPOSS."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from nuscenes.eval.lidarseg.utils import LidarsegClassMapper

from nclr_mm.datasets.segmentation.label_maps import (
    NUSCENES,
    SEMANTICKITTI,
    SEMANTICPOSS,
    map_labels,
)
from nclr_mm.simulation.labels import NUSCENES_LIDARSEG  # in the order of category.json


class Devkit:
    """The part of NuScenes that the class mapper asks for."""

    def __init__(self, names):
        self.lidarseg_name2idx_mapping = {name: i for i, name in enumerate(names)}
        self.lidarseg_idx2name_mapping = dict(enumerate(names))


def test_nuscenes_is_the_devkits_learning_map():
    devkit = LidarsegClassMapper(Devkit(NUSCENES_LIDARSEG))
    assert set(NUSCENES_LIDARSEG) == set(devkit.fine_name_2_coarse_name_mapping)
    coarse = {i: name for name, i in devkit.coarse_name_2_coarse_idx_mapping.items()}
    for raw, index in devkit.fine_idx_2_coarse_idx_mapping.items():
        label = NUSCENES.table[raw]
        name = 'ignore' if label == NUSCENES.ignore_index else NUSCENES.names[label]
        assert name == coarse[index], raw
        if label != NUSCENES.ignore_index:  # the devkit counts from 1, 0 is to be ignored
            assert label == index - 1
            assert NUSCENES.palette[label] == tuple(devkit.coarse_colormap[coarse[index]])


def test_raw_ids_of_nuscenes_are_those_of_a_real_data_set(real_data):
    path = next((real_data / 'nuscenes').rglob('category.json'))
    rows = json.loads(path.read_text())
    if not all('index' in row for row in rows):
        pytest.skip(f'{path} has no lidarseg indices')
    assert {row['index']: row['name'] for row in rows} == dict(enumerate(NUSCENES_LIDARSEG))


def test_semantickitti_is_mmdet3ds_map():
    import mmdet3d

    path = f'{mmdet3d.__path__[0]}/.mim/configs/_base_/datasets/semantickitti.py'
    cfg = Config.fromfile(path)
    for raw, label in cfg.labels_map.items():
        assert SEMANTICKITTI.table[raw] == label, raw
    known = np.flatnonzero(SEMANTICKITTI.table != SEMANTICKITTI.UNKNOWN)
    assert known.tolist() == sorted(cfg.labels_map)
    misspelt = {'trunck': 'trunk', 'terrian': 'terrain'}
    names = [misspelt.get(name, name) for name in cfg.class_names]
    # mmdet3d calls class 4 'bus'; in semantic-kitti.yaml it is 'other-vehicle'.
    names[4] = 'other-vehicle'
    assert list(SEMANTICKITTI.names) == names


def test_semanticposs_is_the_published_table():
    published = {4: 1, 5: 1, 6: 2, 7: 3, 8: 4, 9: 5, 10: 6, 11: 6, 12: 6, 13: 7, 14: 8, 15: 9}
    published |= {16: 10, 17: 11, 21: 12, 22: 13}
    for raw, label in enumerate(SEMANTICPOSS.table):
        expected = published.get(raw, 14) - 1  # 14: everything else, ignored
        assert label == expected, raw
    assert len(SEMANTICPOSS.names) == 13 == SEMANTICPOSS.ignore_index


@pytest.mark.parametrize('labels', [NUSCENES, SEMANTICKITTI, SEMANTICPOSS])
def test_maps_are_consistent(labels):
    assert len(labels.names) == len(labels.raw) == len(labels.palette) == labels.ignore_index
    assert len(set(labels.names)) == len(labels.names)
    raw = [r for group in labels.raw for r in group] + list(labels.ignored)
    assert len(raw) == len(set(raw))
    assert sorted(labels.thing_labels + labels.stuff_labels) == list(range(len(labels.names)))
    # A prediction written with the raw label that stands for its class is read back as it was.
    classes = np.arange(labels.ignore_index + 1)
    assert (labels.table[labels.canonical_raw] == classes).all()


def test_unknown_raw_labels_are_named():
    raw = np.array([10, 40, 7, 7, 999, 0])
    with pytest.raises(ValueError, match=r'x\.label holds unknown raw labels \[7, 999\] on 3 of 6'):
        map_labels(raw, SEMANTICKITTI.table, 'x.label')
    assert map_labels(raw[:2], SEMANTICKITTI.table, 'x.label').tolist() == [0, 8]
