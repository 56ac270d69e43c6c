"""Samples that cannot be loaded: how many are passed over, and which are drawn instead."""

import logging

import numpy as np
import pytest
from mmdet3d.registry import DATASETS

from nclr_mm.datasets import broken
from nclr_mm.datasets.samplers import Draw
from tests.test_bad_input import PIPELINE, Rig


@pytest.fixture
def folder(tmp_path):
    """A rig whose second scan is cut."""
    rig = Rig()
    rig.scans[1] = rig.scans[1].astype(np.float32).tobytes()[:-3]
    rig.write(tmp_path)
    return tmp_path


def dataset(folder, **options):
    return DATASETS.build(
        dict(
            type='CalibrationDataset',
            ann_file='infos.json',
            data_root=f'{folder}',
            pipeline=PIPELINE,
            **options,
        )
    )


def sample_of(item):
    return item['data_samples'].metainfo['sample_idx']


def test_the_first_ends_the_run_by_default(folder):
    assert sample_of(dataset(folder)[0]) == 0
    with pytest.raises(ValueError, match=r'scan1\.bin is truncated'):
        dataset(folder)[1]


def test_another_is_drawn_and_the_log_says_so(folder, monkeypatch):
    data = dataset(folder, max_broken=50)
    lines = []
    monkeypatch.setattr(broken, 'print_log', lambda *arguments: lines.append(arguments))
    assert sample_of(data[Draw(1, (3, 1))]) == 0
    told = data[Draw(1, (3, 1))]['data_samples'].num_broken_samples
    assert 2 * told == len(lines) and 'num_broken_samples' not in data[0]['data_samples']
    message, logger, level = lines[0]
    assert message.startswith('Sample 1 is left out, 1 of at most 50 in this process: ')
    assert 'scan1.bin is truncated' in message
    assert (logger, level) == ('current', logging.WARNING)
    # The same draw draws the same other one, whatever was loaded before.
    first, again = (data[Draw(1, (3, 1))]['inputs']['points'] for _ in range(2))
    assert (first == again).all()


def test_only_so_many_are_passed_over(folder):
    data = dataset(folder, max_broken=3)
    with pytest.raises(ValueError, match=r'More than max_broken=3 .*scan1\.bin is truncated'):
        for _ in range(4):
            data[1]


def test_tests_leave_out_nothing(folder):
    data = dataset(folder, max_broken=3, test_mode=True)
    with pytest.raises(ValueError, match=r'^\S*scan1\.bin is truncated'):
        data[1]


def test_missing_files_too(folder):
    (folder / 'front1.png').unlink()
    assert sample_of(dataset(folder, max_broken=50)[1]) == 0


def test_negative_numbers_are_refused(folder):
    with pytest.raises(ValueError, match='max_broken must be at least 0, got -1'):
        dataset(folder, max_broken=-1)
