"""Class tables: what each kind of surface is called in each of the data sets.

Sources: the nuScenes-lidarseg class list (github.com/nutonomy/nuscenes-devkit, lidarseg readme),
the SemanticKITTI api's ``semantic-kitti.yaml``, the KITTI object devkit's readme and SemanticPOSS's
label list (poss.pku.edu.cn).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Semantic(IntEnum):
    """What a face of the scene is. ``NONE`` is sky, that is no return."""

    NONE = 0
    ROAD = 1
    LANE_MARK = 2
    SIDEWALK = 3
    TERRAIN = 4
    BUILDING = 5
    FENCE = 6
    VEGETATION = 7
    TRUNK = 8
    POLE = 9
    SIGN = 10
    CAR = 11
    TRUCK = 12
    BUS = 13
    CYCLIST = 14
    BICYCLE = 15
    PEDESTRIAN = 16
    BARRIER = 17
    CONE = 18
    MOTORCYCLE = 19


@dataclass(frozen=True)
class ClassNames:
    """Names and raw ids of one class in the data sets.

    ``kitti_object`` is None for what the KITTI object benchmark does not label.
    ``semantickitti_moving`` is the id of the class when it moves (252 and above). SemanticPOSS
    knows one ground, and no trucks and buses apart from cars.
    """

    nuscenes: str
    semantickitti: int
    semantickitti_moving: int
    semanticposs: int
    kitti_object: str | None = None
    is_thing: bool = False


def _stuff(nuscenes: str, raw: int, poss: int) -> ClassNames:
    return ClassNames(nuscenes, raw, raw, poss)


def _thing(nuscenes: str, raw: int, moving: int, poss: int, kitti: str | None) -> ClassNames:
    return ClassNames(nuscenes, raw, moving, poss, kitti, True)


CLASSES: dict[Semantic, ClassNames] = {
    Semantic.NONE: _stuff('noise', 0, 0),
    Semantic.ROAD: _stuff('flat.driveable_surface', 40, 22),
    Semantic.LANE_MARK: _stuff('flat.driveable_surface', 60, 22),
    Semantic.SIDEWALK: _stuff('flat.sidewalk', 48, 22),
    Semantic.TERRAIN: _stuff('flat.terrain', 72, 22),
    Semantic.BUILDING: _stuff('static.manmade', 50, 15),
    Semantic.FENCE: _stuff('static.manmade', 51, 17),
    Semantic.VEGETATION: _stuff('static.vegetation', 70, 9),
    Semantic.TRUNK: _stuff('static.vegetation', 71, 8),
    Semantic.POLE: _stuff('static.manmade', 80, 13),
    Semantic.SIGN: _stuff('static.manmade', 81, 10),
    Semantic.CAR: _thing('vehicle.car', 10, 252, 7, 'Car'),
    Semantic.TRUCK: _thing('vehicle.truck', 18, 258, 7, 'Truck'),
    Semantic.BUS: _thing('vehicle.bus.rigid', 13, 257, 7, 'Misc'),
    Semantic.CYCLIST: _thing('vehicle.bicycle', 31, 253, 6, 'Cyclist'),
    Semantic.BICYCLE: _thing('vehicle.bicycle', 11, 11, 21, None),
    Semantic.PEDESTRIAN: _thing('human.pedestrian.adult', 30, 254, 4, 'Pedestrian'),
    Semantic.BARRIER: _thing('movable_object.barrier', 99, 99, 17, None),
    Semantic.CONE: _thing('movable_object.trafficcone', 99, 99, 16, None),
    Semantic.MOTORCYCLE: _thing('vehicle.motorcycle', 15, 15, 21, None),
}

# Index in this list is the label stored in a lidarseg file.
NUSCENES_LIDARSEG = (
    'noise',
    'animal',
    'human.pedestrian.adult',
    'human.pedestrian.child',
    'human.pedestrian.construction_worker',
    'human.pedestrian.personal_mobility',
    'human.pedestrian.police_officer',
    'human.pedestrian.stroller',
    'human.pedestrian.wheelchair',
    'movable_object.barrier',
    'movable_object.debris',
    'movable_object.pushable_pullable',
    'movable_object.trafficcone',
    'static_object.bicycle_rack',
    'vehicle.bicycle',
    'vehicle.bus.bendy',
    'vehicle.bus.rigid',
    'vehicle.car',
    'vehicle.construction',
    'vehicle.emergency.ambulance',
    'vehicle.emergency.police',
    'vehicle.motorcycle',
    'vehicle.trailer',
    'vehicle.truck',
    'flat.driveable_surface',
    'flat.other',
    'flat.sidewalk',
    'flat.terrain',
    'static.manmade',
    'static.other',
    'static.vegetation',
    'vehicle.ego',
)


def _table(values: dict[Semantic, int], dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
    table = np.zeros(len(Semantic), dtype=dtype)
    for semantic, value in values.items():
        table[semantic] = value
    return table


TO_LIDARSEG = _table({s: NUSCENES_LIDARSEG.index(c.nuscenes) for s, c in CLASSES.items()}, np.uint8)
TO_SEMANTICKITTI = _table({s: c.semantickitti for s, c in CLASSES.items()}, np.uint32)
TO_SEMANTICKITTI_MOVING = _table({s: c.semantickitti_moving for s, c in CLASSES.items()}, np.uint32)
TO_SEMANTICPOSS = _table({s: c.semanticposs for s, c in CLASSES.items()}, np.uint32)
IS_THING = _table({s: int(c.is_thing) for s, c in CLASSES.items()}, np.bool_)
