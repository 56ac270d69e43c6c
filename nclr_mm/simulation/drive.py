"""Who moves, and how: the ego vehicle and everybody else, on paths that never touch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely

from . import objects
from .labels import Semantic
from .layout import Path, Plan
from .mesh import Array, Mesh

EGO_SIZE = (4.7, 1.9)  # length and width in metres
EGO_REAR = 1.0  # from the origin of the ego frame, below the rear axle, to the rear bumper, metres
MAX_TRAVEL = 250.0  # length of a scene's drive in metres
MIN_SPEED = 1.0  # of the ego vehicle in m/s; longer drives are refused


@dataclass
class Thing:
    """A labelled object. Its mesh stands in its own frame; ``path`` None means it never moves.

    ``size`` is length, width, height of the mesh's bounding box and ``lift`` the height of the
    box's underside above the ground, metres. ``instance`` is unique in the scene and at least 1.
    """

    instance: int
    semantic: Semantic
    mesh: Mesh
    start: tuple[float, float, float]
    path: Path | None = None
    s0: float = 0.0
    speed: float = 0.0
    wheeled: bool = True

    @property
    def moving(self) -> bool:
        return self.path is not None and self.speed > 0

    def place(self, time: float | Array) -> tuple[Array, Array, Array]:
        """x, y, heading at ``time`` seconds."""
        if self.path is None:
            zero = np.zeros(np.shape(time))
            return self.start[0] + zero, self.start[1] + zero, self.start[2] + zero
        return self.path.at(self.s0 + self.speed * np.asarray(time))

    def pose(self, plan: Plan, time: float) -> Array:
        """4x4 pose on the ground at ``time`` seconds."""
        x, y, heading = (float(v) for v in self.place(time))
        return plan.relief.pose(x, y, heading)

    @cached_property
    def box(self) -> tuple[Array, Array]:
        """Bounding box in the object's frame: centre (3,) and length, width, height (3,)."""
        low, high = self.mesh.bounds()
        return ((low + high) / 2).astype(np.float64), (high - low).astype(np.float64)


class Clearance:
    """Refuses objects that would touch an accepted one at any of the given times.

    Objects are chains of discs along their length; a disc's radius is half the width.
    """

    def __init__(self, times: Array, gap: float = 0.5) -> None:
        self.times = times
        self.gap = gap
        self._centres: list[Array] = []
        self._radii: list[Array] = []

    def _discs(self, place: tuple[Array, Array, Array], size: tuple[float, float]) -> Array:
        x, y, heading = place
        length, width = size
        reach = max(length - width, 0.0) / 2
        along = np.linspace(-reach, reach, max(int(np.ceil(2 * reach / max(width, 0.5))) + 1, 1))
        if reach == 0:
            along = np.zeros(1)
        return np.stack(
            [
                x[:, None] + along * np.cos(heading)[:, None],
                y[:, None] + along * np.sin(heading)[:, None],
            ],
            -1,
        )

    def accept(self, place: tuple[Array, Array, Array], size: tuple[float, float]) -> bool:
        """Adds the object and returns True, or returns False where it would touch another."""
        centres = self._discs(place, size)
        radius = size[1] / 2
        if self._centres:
            other = np.concatenate(self._centres, 1)
            reach = np.concatenate(self._radii) + radius + self.gap
            near = (np.abs(other - centres[:, :1]) < 30).all(2).any(0)
            if near.any():
                gap = np.linalg.norm(centres[:, :, None] - other[:, None, near], axis=-1)
                if (gap < reach[near]).any():
                    return False
        self._centres.append(centres)
        self._radii.append(np.full(centres.shape[1], radius))
        return True


def footprints(
    place: tuple[Array, Array, Array], centre: tuple[float, float], size: tuple[float, float]
) -> Array:
    """Rectangles on the ground, one for each pose.

    Args:
        place: x, y, heading, each (n,), metres and radians in the scene's frame.
        centre: x and y of the rectangle's middle in the object's frame, metres.
        size: length and width, metres.

    Returns:
        (n,) shapely polygons.
    """
    x, y, heading = (np.asarray(v)[:, None] for v in place)
    along = centre[0] + size[0] / 2 * np.array([-1, 1, 1, -1])
    left = centre[1] + size[1] / 2 * np.array([-1, -1, 1, 1])
    cos, sin = np.cos(heading), np.sin(heading)
    corners = np.stack([x + cos * along - sin * left, y + sin * along + cos * left], -1)
    return np.asarray(shapely.polygons(corners))


def drop_hit(things: list[Thing], plan: Plan, times: Array, ego_speed: float) -> list[Thing]:
    """Leaves out what was placed where the ego vehicle or the traffic passes.

    A thing without a path goes if its footprint meets the ego vehicle's anywhere on the drive, or
    that of a thing with a path at one of ``times`` (n,) seconds. No random numbers are drawn.
    """
    placed = [thing for thing in things if thing.path is None]
    if not placed:
        return things

    def ground(thing: Thing, at: Array) -> Array:
        centre, size = thing.box
        return footprints(thing.place(at), (centre[0], centre[1]), (size[0], size[1]))

    start = times[:1]
    tree = shapely.STRtree(np.concatenate([ground(thing, start) for thing in placed]))
    # Steps of at most half a metre leave no gap in a footprint of 4.7 m.
    travel = ego_speed * float(times[-1] - times[0])
    steps = plan.ego_start + np.linspace(0, travel, int(np.ceil(travel / 0.5)) + 1)
    ego = footprints(plan.ego_path.at(steps), (EGO_SIZE[0] / 2 - EGO_REAR, 0.0), EGO_SIZE)
    moved = [ground(thing, times) for thing in things if thing.path is not None]
    hit = tree.query(np.concatenate([ego, *moved]), predicate='intersects')[1]
    gone = {placed[k].instance for k in hit}
    return [thing for thing in things if thing.instance not in gone]


def travel_speed(rng: np.random.Generator, duration: float) -> float:
    """Ego speed in m/s; a long drive is slower, so that it is no longer than ``MAX_TRAVEL``."""
    return float(min(rng.uniform(3.0, 12.5), MAX_TRAVEL / max(duration, 1e-3)))


def make_traffic(
    rng: np.random.Generator, plan: Plan, times: Array, ego_speed: float, first: int
) -> list[Thing]:
    """Vehicles, cyclists and walkers that move (or wait in a lane) during ``times``.

    Args:
        times: (n,) seconds at which nothing may touch.
        first: instance number of the first object.
    """
    clearance = Clearance(times)
    ego = plan.ego_path.at(plan.ego_start + ego_speed * times)
    clearance.accept(ego, (EGO_SIZE[0] + 3.0, EGO_SIZE[1] + 0.6))
    density = rng.uniform(0.15, 1.0)
    things: list[Thing] = []
    duration = float(times[-1])

    def add(mesh: Mesh, path: Path, s0: float, speed: float, wheeled: bool = True) -> None:
        thing = Thing(
            first + len(things),
            Semantic(int(mesh.semantic[0])),
            mesh,
            (0, 0, 0),
            path,
            s0,
            speed,
            wheeled,
        )
        _, size = thing.box
        if (
            s0 > 1
            and s0 + speed * duration < path.length - 1
            and clearance.accept(thing.place(times), (float(size[0]), float(size[1])))
        ):
            thing.mesh.instance[:] = thing.instance
            things.append(thing)

    for index, street in enumerate(plan.streets):
        for side in (-1, 1):
            for lane in range(street.lanes):
                path = street.path.offset(side * street.lane_width * (lane + 0.5))
                if side != plan.handed:
                    path = path.reversed()
                speed = ego_speed * rng.uniform(0.7, 1.3) if rng.uniform() < 0.85 else 0.0
                if index == 0 and side == plan.handed:
                    speed = ego_speed
                s = rng.uniform(0, 20)
                while s < path.length:
                    kind = rng.choice(4, p=[0.8, 0.1, 0.07, 0.03])
                    make = (objects.car, objects.truck, objects.bus, objects.cyclist)[kind]
                    add(make(rng), path, s, speed if kind < 3 else min(speed, 6.0))
                    s += 9 + rng.exponential(22 / density)
            _add_riders_and_walkers(rng, plan, street, side, add)
    return things


def _add_riders_and_walkers(rng, plan, street, side, add):  # type: ignore[no-untyped-def]
    edge = side * (street.half_lanes - 0.7)
    path = street.path.offset(edge)
    if side != plan.handed:
        path = path.reversed()
    for _ in range(rng.poisson(street.path.length / 70)):
        add(objects.cyclist(rng), path, rng.uniform(0, path.length), rng.uniform(2.5, 6.5))
    busy = {'downtown': 14.0, 'residential': 28.0, 'park': 25.0}.get(plan.style, 50.0)
    for _ in range(rng.poisson(street.path.length / busy)):
        kerb = street.edge(side)
        left = side * rng.uniform(kerb + 1.2, max(kerb + street.walk(side) - 0.3, kerb + 1.3))
        path = street.path.offset(left)
        if rng.uniform() < 0.5:
            path = path.reversed()
        walks = rng.uniform() < 0.75
        mesh = objects.pedestrian(rng, rng.uniform(0, 6.3) if walks else None)
        s0 = rng.uniform(0, path.length)
        add(mesh, path, s0, rng.uniform(0.7, 1.7) if walks else 0.0, False)
