"""Samplers whose draws carry seeds, and can be gone on with after an interruption.

mmengine seeds each loader worker once. What its transforms draw for a sample then depends on how
many workers there are and on all samples before, and cannot be had again without loading these.
Here each draw brings a seed of its own, made of the run's seed, the round and the sample.
"""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from mmdet3d.datasets import CBGSDataset
from mmdet3d.registry import DATA_SAMPLERS, DATASETS
from mmengine.dataset import BaseDataset, DefaultSampler, InfiniteSampler
from mmengine.logging import print_log
from torch.utils.data import DataLoader

from nclr_mm.seeding import seed_generators

__all__ = [
    'Draw',
    'SeededCBGSDataset',
    'SeededDefaultSampler',
    'SeededDraws',
    'SeededInfiniteSampler',
]


class Draw(int):
    """Index of a sample, with the seed of what is random about it.

    ``%`` and ``-``, with which mmengine's wrappers of datasets reach into what they wrap, keep it.

    Args:
        index: position in the dataset.
        seed: numbers for :func:`nclr_mm.seeding.seed_generators`.
    """

    seed: tuple[int, ...]

    def __new__(cls, index: int, seed: tuple[int, ...]) -> Draw:
        draw = super().__new__(cls, index)
        draw.seed = seed
        return draw

    def __getnewargs__(self) -> tuple:
        return int(self), self.seed

    def __mod__(self, other: int) -> Draw:
        return Draw(int(self) % other, self.seed)

    def __sub__(self, other: int) -> Draw:
        return Draw(int(self) - other, self.seed)


class SeededDraws:
    """Mix-in of datasets: a :class:`Draw` seeds the generators before its sample is loaded."""

    def __getitem__(self, idx: int):
        if isinstance(idx, Draw):
            seed_generators(*idx.seed)
        return super().__getitem__(idx)


@DATASETS.register_module()
class SeededCBGSDataset(CBGSDataset):
    """mmdet3d's CBGSDataset, class-balanced sampling, which hands on the seed of a :class:`Draw`.

    Classes without an object in the data are left out, with a notice; mmdet3d would divide by zero.

    Args:
        args, kwargs: of :class:`mmdet3d.datasets.CBGSDataset`.

    Raises:
        ValueError: if the data have no object of any class.
    """

    def _get_sample_indices(self, dataset: BaseDataset) -> list[int]:
        samples: dict[int, list[int]] = defaultdict(list)  # by class
        for index in range(len(dataset)):
            for label in set(dataset.get_cat_ids(index)) - {-1}:
                samples[label].append(index)
        classes = dataset.metainfo['classes']
        absent = ', '.join(name for label, name in enumerate(classes) if label not in samples)
        if not samples:
            raise ValueError(f'No sample has an object of the classes {absent}.')
        if absent:
            print_log(f'No sample has an object of {absent}: left out.', 'current', logging.WARNING)
        total = sum(map(len, samples.values()))
        drawn = []
        for _, of_class in sorted(samples.items()):
            # As mmdet3d rounds, and from its generator, which the run has seeded.
            number = int(len(of_class) * (1 / len(samples) / (len(of_class) / total)))
            drawn += np.random.choice(of_class, number).tolist()  # noqa: NPY002
        return drawn

    def _get_ori_dataset_idx(self, idx: int) -> int:
        own = super()._get_ori_dataset_idx(idx)
        return Draw(own, idx.seed) if isinstance(idx, Draw) else own


@DATA_SAMPLERS.register_module()
class SeededDefaultSampler(DefaultSampler):
    """mmengine's DefaultSampler, the same indices, as :class:`Draw`.

    Args:
        args, kwargs: of mmengine's DefaultSampler.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._skip = 0

    def __iter__(self) -> Iterator[int]:
        skip, self._skip = self._skip, 0
        for index in itertools.islice(super().__iter__(), skip, None):
            yield Draw(index, (self.seed, self.epoch, index))

    def go_on_after(self, loader: DataLoader, batches: int) -> int:
        """Let the next iteration begin after some batches of a loader; returns whole rounds."""
        self.epoch, rest = divmod(batches, len(loader))
        self._skip = rest * loader.batch_size
        return self.epoch


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """mmengine's InfiniteSampler, the same indices, as :class:`Draw`.

    Each iteration begins anew, which mmengine's does not.

    Args:
        args, kwargs: of mmengine's InfiniteSampler.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._skip = 0

    def __iter__(self) -> Iterator[int]:
        first, self._skip = self.rank + self._skip * self.world_size, 0
        places = itertools.islice(enumerate(self._infinite_indices()), first, None, self.world_size)
        for place, index in places:
            yield Draw(index, (self.seed, place // self.size, index))

    def go_on_after(self, loader: DataLoader, batches: int) -> int:
        """Let the next iteration begin after some batches of a loader; returns 0, it never ends."""
        self._skip = batches * loader.batch_size
        return 0
