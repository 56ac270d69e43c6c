"""Raw labels of the data sets to the classes that are trained and evaluated.

A raw label that a data set does not define is a fault of the file, so each map names every raw
label that may occur, the ignored ones included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class LabelMap:
    """Classes of a data set and the raw labels of each.

    Attributes:
        names: class names; the index is the label that the model learns, and the number of classes
            is the label of ignored points, as mmdet3d has it.
        raw: raw labels of each class, in the order of ``names``.
        ignored: raw labels that belong to no class.
        things: names of the classes whose objects are told apart in panoptic segmentation.
        palette: RGB colour of each class.
    """

    names: tuple[str, ...]
    raw: tuple[tuple[int, ...], ...]
    ignored: tuple[int, ...]
    things: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] = field(repr=False)

    UNKNOWN = -1

    @property
    def ignore_index(self) -> int:
        """Label of points that belong to no class."""
        return len(self.names)

    @property
    def thing_labels(self) -> list[int]:
        """Labels of the classes with objects."""
        return [self.names.index(name) for name in self.things]

    @property
    def stuff_labels(self) -> list[int]:
        """Labels of the other classes."""
        return [i for i, name in enumerate(self.names) if name not in self.things]

    @cached_property
    def table(self) -> np.ndarray:
        """int64 array: label of each raw label, ``UNKNOWN`` where the data set has none."""
        table = np.full(max(max(self.ignored), *map(max, self.raw)) + 1, self.UNKNOWN)
        table[list(self.ignored)] = self.ignore_index
        for label, raw in enumerate(self.raw):
            table[list(raw)] = label
        return table

    @property
    def canonical_raw(self) -> np.ndarray:
        """int64 array: the raw label that stands for each class, its first; 0 for ignored."""
        return np.array([*(raw[0] for raw in self.raw), 0])


def map_labels(raw: np.ndarray, table: np.ndarray, source: str) -> np.ndarray:
    """Map raw labels by a table.

    Args:
        raw: (N,) raw labels, integers.
        table: label of each raw label, ``LabelMap.UNKNOWN`` where there is none.
        source: where the labels come from, for the error.

    Returns:
        (N,) int64 labels.

    Raises:
        ValueError: if a raw label is not defined.
    """
    known = (raw >= 0) & (raw < len(table))
    labels = np.where(known, table[np.where(known, raw, 0)], LabelMap.UNKNOWN)
    unknown = labels == LabelMap.UNKNOWN
    if unknown.any():
        defined = np.flatnonzero(table != LabelMap.UNKNOWN)
        raise ValueError(
            f'{source} holds unknown raw labels {np.unique(raw[unknown])[:10].tolist()} on '
            f'{int(unknown.sum())} of {len(raw)} points; the data set defines {defined.tolist()}.'
        )
    return labels


# github.com/nutonomy/nuscenes-devkit, nuScenes-lidarseg challenge: 32 raw classes, 16 evaluated.
NUSCENES = LabelMap(
    names=(
        *('barrier', 'bicycle', 'bus', 'car', 'construction_vehicle', 'motorcycle'),
        *('pedestrian', 'traffic_cone', 'trailer', 'truck', 'driveable_surface'),
        *('other_flat', 'sidewalk', 'terrain', 'manmade', 'vegetation'),
    ),
    raw=(
        *((9,), (14,), (16, 15), (17,), (18,), (21,), (2, 3, 4, 6), (12,), (22,), (23,)),
        *((24,), (25,), (26,), (27,), (28,), (30,)),
    ),
    ignored=(0, 1, 5, 7, 8, 10, 11, 13, 19, 20, 29, 31),
    things=(
        *('barrier', 'bicycle', 'bus', 'car', 'construction_vehicle', 'motorcycle'),
        *('pedestrian', 'traffic_cone', 'trailer', 'truck'),
    ),
    palette=(
        *((112, 128, 144), (220, 20, 60), (255, 127, 80), (255, 158, 0), (233, 150, 70)),
        *((255, 61, 99), (0, 0, 230), (47, 79, 79), (255, 140, 0), (255, 99, 71)),
        *((0, 207, 191), (175, 0, 75), (75, 0, 75), (112, 180, 60), (222, 184, 135)),
        (0, 175, 0),
    ),
)

# github.com/PRBonn/semantic-kitti-api, semantic-kitti.yaml: moving objects count as their class.
SEMANTICKITTI = LabelMap(
    names=(
        *('car', 'bicycle', 'motorcycle', 'truck', 'other-vehicle', 'person', 'bicyclist'),
        *('motorcyclist', 'road', 'parking', 'sidewalk', 'other-ground', 'building', 'fence'),
        *('vegetation', 'trunk', 'terrain', 'pole', 'traffic-sign'),
    ),
    raw=(
        *((10, 252), (11,), (15,), (18, 258), (20, 13, 16, 256, 257, 259), (30, 254)),
        *((31, 253), (32, 255), (40, 60), (44,), (48,), (49,), (50,), (51,), (70,), (71,)),
        *((72,), (80,), (81,)),
    ),
    ignored=(0, 1, 52, 99),
    things=(
        *('car', 'bicycle', 'motorcycle', 'truck', 'other-vehicle', 'person', 'bicyclist'),
        'motorcyclist',
    ),
    palette=(
        *((100, 150, 245), (100, 230, 245), (30, 60, 150), (80, 30, 180), (100, 80, 250)),
        *((255, 30, 30), (255, 40, 200), (150, 30, 90), (255, 0, 255), (255, 150, 255)),
        *((75, 0, 75), (175, 0, 75), (255, 200, 0), (255, 120, 50), (0, 175, 0)),
        *((135, 60, 0), (150, 240, 80), (255, 240, 150), (255, 0, 0)),
    ),
)

# SemanticPOSS with the 13 classes that ALSO and NCLR evaluate; raw ids as its readme lists them.
SEMANTICPOSS = LabelMap(
    names=(
        *('person', 'rider', 'car', 'trunk', 'plants', 'traffic-sign', 'pole'),
        *('garbage-can', 'building', 'cone-stone', 'fence', 'bike', 'ground'),
    ),
    raw=(
        *((4, 5), (6,), (7,), (8,), (9,), (10, 11, 12), (13,), (14,), (15,), (16,), (17,)),
        *((21,), (22,)),
    ),
    ignored=(0, 1, 2, 3, 18, 19, 20),
    things=('person', 'rider', 'car', 'bike'),
    palette=(
        *((255, 30, 30), (255, 40, 200), (100, 150, 245), (135, 60, 0), (0, 175, 0)),
        *((255, 0, 0), (255, 240, 150), (125, 255, 0), (255, 200, 0), (0, 200, 255)),
        *((255, 120, 50), (100, 230, 245), (128, 128, 128)),
    ),
)
