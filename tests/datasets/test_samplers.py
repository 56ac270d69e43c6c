"""Oracles: mmengine's own samplers for the order, plain arithmetic for what a draw carries."""

import pickle
import random

import numpy as np
import pytest
import torch
from mmdet3d.datasets import CBGSDataset
from mmengine.dataset import BaseDataset, DefaultSampler, InfiniteSampler, RepeatDataset
from mmengine.dataset.utils import pseudo_collate
from torch.utils.data import DataLoader

from nclr_mm.datasets.samplers import (
    Draw,
    SeededCBGSDataset,
    SeededDefaultSampler,
    SeededDraws,
    SeededInfiniteSampler,
)
from nclr_mm.seeding import seed_generators


def legacy_draw():
    return np.random.rand()  # noqa: NPY002 (mmdet3d's transforms draw from it)


class Noise(SeededDraws, BaseDataset):
    """Ten samples, each of which draws from all three generators."""

    def load_data_list(self):
        return [dict(number=i) for i in range(10)]

    def prepare_data(self, idx):
        draws = random.random(), legacy_draw(), torch.rand(()).item()
        return self.get_data_info(idx)['number'], *draws


@pytest.fixture
def noise():
    return Noise(ann_file='', serialize_data=False)


def take(iterable, number):
    return [value for value, _ in zip(iterable, range(number))]


def loaded(dataset, workers, sampler=None):
    sampler = sampler or SeededInfiniteSampler(dataset, seed=3)
    loader = DataLoader(
        dataset, 2, sampler=sampler, num_workers=workers, collate_fn=lambda batch: batch
    )
    return [sample for batch in take(iter(loader), 12) for sample in batch]


def test_a_draw_is_its_index_and_keeps_its_seed():
    draw = Draw(7, (1, 2))
    assert draw == 7 and [10, 11, 12, 13, 14, 15, 16, 17][draw] == 17
    for other in (pickle.loads(pickle.dumps(draw)), draw % 5, draw - 3):
        assert isinstance(other, Draw) and other.seed == (1, 2)
    assert (draw % 5, draw - 3) == (2, 4)


def test_seeds_are_all_numbers_in_their_order():
    def drawn(*numbers):
        seed_generators(*numbers)
        return random.random(), legacy_draw(), torch.rand(()).item()

    assert drawn(1, 2) == drawn(1, 2)
    assert len({drawn(1, 2), drawn(2, 1), drawn(1, 2, 0), drawn(1)}) == 4


@pytest.mark.parametrize('world', [1, 3])
def test_the_order_is_mmengines(noise, world, monkeypatch):
    for rank in range(world):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, world)
        )
        for ours, theirs in (
            (SeededInfiniteSampler, InfiniteSampler),
            (SeededDefaultSampler, DefaultSampler),
        ):
            found = take(ours(noise, seed=5), 35)
            assert found == take(theirs(noise, seed=5), 35)
            assert all(isinstance(draw, Draw) for draw in found)


def test_a_sample_has_another_seed_in_each_round_and_the_same_on_any_process(noise, monkeypatch):
    whole = [(int(d), d.seed) for d in take(SeededInfiniteSampler(noise, seed=5), 30)]
    assert len({seed for _, seed in whole}) == 30
    parts = []
    for rank in range(3):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 3))
        parts.append([(int(d), d.seed) for d in take(SeededInfiniteSampler(noise, seed=5), 10)])
    assert [part[i] for i in range(10) for part in parts] == whole


@pytest.mark.parametrize('sampler', [SeededInfiniteSampler, SeededDefaultSampler])
def test_going_on_is_what_would_have_come(noise, sampler):
    def batches(going_on=0):
        own = sampler(noise, seed=5)
        loader = DataLoader(noise, 4, sampler=own, collate_fn=pseudo_collate)
        rounds = own.go_on_after(loader, going_on) if going_on else 0
        found = []
        while len(found) < 11 - going_on:
            own.set_epoch(rounds)
            for batch in loader.batch_sampler:
                found.append([(int(d), d.seed) for d in batch])
                if len(found) == 11 - going_on:
                    break
            rounds += 1
        return found

    whole = batches()
    for cut in (1, 3, 5, 8):
        assert batches(cut) == whole[cut:]


def test_the_number_of_workers_changes_nothing(noise):
    alone = loaded(noise, 0)
    assert alone == loaded(noise, 1) == loaded(noise, 3)
    assert len({draws for _, *draws in map(tuple, alone) for draws in [tuple(draws)]}) == len(alone)


def test_wrapped_datasets_are_seeded_too(noise):
    repeated = RepeatDataset(noise, 3)
    first, second = (loaded(repeated, workers) for workers in (0, 2))
    assert first == second


class TwoClasses(Noise):
    """The first class has one sample of the ten."""

    METAINFO = dict(classes=('rare', 'common'))

    def get_cat_ids(self, idx):
        return {int(idx > 0)}


def test_class_balanced_datasets_are_seeded_too():
    seed_generators(0)
    balanced = SeededCBGSDataset(TwoClasses(ann_file='', serialize_data=False))
    first, second = (loaded(balanced, workers) for workers in (0, 2))
    assert first == second
    assert len({sample[1] for sample in first}) == len(first)  # one sample in several draws
    assert {sample[0] for sample in first} > {0}
    draw = Draw(0, (1, 2, 3))
    assert balanced[draw] == balanced.dataset[Draw(balanced.sample_indices[0], draw.seed)]


class ThreeClasses(TwoClasses):
    """No sample has the second class."""

    METAINFO = dict(classes=('rare', 'absent', 'common'))

    def get_cat_ids(self, idx):
        return {2 * int(idx > 0), -1}


def test_a_class_without_objects_is_left_out(monkeypatch):
    """Oracle: mmdet3d's, on data without that class; with it, it fails."""
    said = []
    monkeypatch.setattr(
        'nclr_mm.datasets.samplers.print_log', lambda text, *args: said.append(text)
    )
    theirs = CBGSDataset(TwoClasses(ann_file='', serialize_data=False))
    seed_generators(0)
    expected = theirs._get_sample_indices(theirs.dataset)
    data = ThreeClasses(ann_file='', serialize_data=False)
    with pytest.raises(ZeroDivisionError):
        CBGSDataset(data)
    ours = SeededCBGSDataset(data)
    assert said == ['No sample has an object of absent: left out.']
    for balanced in (ours, SeededCBGSDataset(theirs.dataset)):
        seed_generators(0)
        assert balanced._get_sample_indices(balanced.dataset) == expected
    data.get_cat_ids = lambda idx: set()
    with pytest.raises(ValueError, match='No sample has an object of the classes rare, absent, co'):
        SeededCBGSDataset(data)


def test_a_plain_index_leaves_the_generators_alone(noise):
    random.seed(4)
    expected = random.random()
    random.seed(4)
    assert noise[3][1] == expected
