"""Everything that stands still: buildings, trees, hedges, poles, signs, parked vehicles."""

from __future__ import annotations

import cv2
import numpy as np

from . import layout, objects
from .buildings import building, wall
from .drive import Thing
from .labels import Semantic
from .layout import Path, Plan, Street, crossing_clear
from .mesh import Array, Mesh, pose_of
from .textures import Atlas, Layer

Rng = np.random.Generator


class Occupancy:
    """Which ground is taken, on a 0.25 m raster."""

    def __init__(self, plan: Plan, cell: float = 0.25) -> None:
        self.cell = cell
        shape = (int(plan.size[0] / cell) + 1, int(plan.size[1] / cell) + 1)
        codes = cv2.resize(plan.raster, shape, interpolation=cv2.INTER_NEAREST)
        self.road = layout.IS_ROAD[codes]
        self.street = self.road | np.isin(codes, (layout.SIDEWALK, layout.KERB))
        self.taken = np.zeros_like(self.road)

    def take(self, corners: Array, avoid: Array | None) -> bool:
        """Claims a convex footprint (n,2) unless it is taken or lies on ``avoid`` cells."""
        cells = np.round(corners / self.cell).astype(np.int32)
        low, high = cells.min(0), cells.max(0) + 1
        rows, columns = self.taken.shape
        if (low < 0).any() or high[0] > columns or high[1] > rows:
            return False
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillConvexPoly(mask, cells - low, (1,))
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        inside = mask.astype(bool)
        if (self.taken[window] & inside).any():
            return False
        if avoid is not None and (avoid[window] & inside).any():
            return False
        self.taken[window] |= inside
        return True


def _footprint(x: float, y: float, heading: float, length: float, width: float) -> Array:
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length / 2, width / 2]
    return half @ pose_of(0, 0, 0, heading)[:2, :2].T + [x, y]


class Furnisher:
    """Places static things of one scene; ``meshes`` and ``things`` are the result."""

    def __init__(self, rng: Rng, plan: Plan, atlas: Atlas) -> None:
        self.rng = rng
        self.plan = plan
        self.atlas = atlas
        self.room = Occupancy(plan)
        self.meshes: list[Mesh] = []
        self.things: list[Thing] = []
        self.trees = [objects.tree(rng) for _ in range(6)]
        self.bushes = [objects.bush(rng) for _ in range(3)]

    def _on_ground(self, mesh: Mesh, x: float, y: float, heading: float) -> None:
        pose = pose_of(x, y, float(self.plan.relief.height(x, y)), heading)
        self.meshes.append(mesh.transformed(pose))

    def stand(
        self, mesh: Mesh, place: tuple[Array, Array, Array], turn: float, size: float
    ) -> None:
        """Puts a slim thing somewhere off the road, if there is room."""
        x, y, heading = (float(v) for v in place)
        if self.room.take(_footprint(x, y, heading, size, size), self.room.road):
            self._on_ground(mesh, x, y, heading + turn)

    def park(self, mesh: Mesh, x: float, y: float, heading: float, avoid: Array | None) -> None:
        """Puts a labelled object on the ground, if there is room."""
        thing = Thing(len(self.things) + 1, Semantic(int(mesh.semantic[0])), mesh, (x, y, heading))
        _, size = thing.box
        if self.room.take(_footprint(x, y, heading, size[0] + 0.4, size[1] + 0.1), avoid):
            mesh.instance[:] = thing.instance
            self.things.append(thing)

    def furnish(self) -> None:
        for street in self.plan.streets:
            for side in (-1, 1):
                self.parked(street, side)
                self.kerbside(street, side)
        for street in self.plan.streets:
            for side in (-1, 1):
                self.buildings(street, side)
                self.frontage(street, side)
        self.backdrop()
        self.greenery()

    def parked(self, street: Street, side: int) -> None:
        rng = self.rng
        width = street.edge(side) - street.half_lanes
        if width < 1:
            return
        left = side * (street.half_lanes + width / 2)
        clear = crossing_clear(self.plan, street)
        density = rng.uniform(0.2, 0.95)
        works = rng.uniform(0.2, 0.8) * street.path.length if rng.uniform() < 0.4 else -100.0
        s = rng.uniform(2, 8)
        while s < street.path.length - 4:
            if abs(s - works) < 9:
                self.roadworks(street.path, s, left, width)
                s += 2.2
                continue
            if rng.uniform() < density:
                kind = rng.choice(3, p=[0.9, 0.07, 0.03])
                mesh = (objects.car, objects.truck, objects.motorcycle)[kind](rng)
                low, high = mesh.bounds()
                half = float(high[0] - low[0]) / 2
                if clear(s) and clear(s + 2 * half):
                    x, y, heading = (
                        float(v) for v in street.path.at(s + half, left + rng.normal(0, 0.06))
                    )
                    turn = 0.0 if (side == self.plan.handed) == (rng.uniform() < 0.93) else np.pi
                    self.park(mesh, x, y, heading + turn + rng.normal(0, 0.02), None)
                s += 2 * half + rng.uniform(0.6, 1.6)
            else:
                s += rng.uniform(4, 9)

    def roadworks(self, path: Path, s: float, left: float, width: float) -> None:
        make = objects.barrier if self.rng.uniform() < 0.4 else objects.traffic_cone
        place = path.at(s, left + self.rng.uniform(-0.3, 0.3) * width)
        x, y, heading = (float(v) for v in place)
        self.park(make(self.rng), x, y, heading, None)

    def kerbside(self, street: Street, side: int) -> None:
        """Lamps, signs, trees and small furniture along the kerb."""
        rng, path = self.rng, street.path
        edge = side * (street.edge(side) + 0.55)
        inward = -side * np.pi / 2
        facing = 0.0 if side == self.plan.handed else np.pi
        clear = crossing_clear(self.plan, street)
        if rng.uniform() < 0.75:
            lamp, step = objects.lamp_post(rng), rng.uniform(20, 36)
            for s in np.arange(rng.uniform(0, step), path.length, step):
                self.stand(lamp, path.at(s, edge), inward, 0.4)
        for s in np.arange(rng.uniform(0, 20), path.length, rng.uniform(14, 32)):
            if rng.uniform() < 0.8:
                at = s + rng.uniform(-5, 5)
                self.stand(objects.sign_post(rng), path.at(at, edge), facing, 0.4)
        states = np.array([clear(s) for s in np.arange(0, path.length, 1.0)])
        if len(self.plan.streets) > 1 and rng.uniform() < 0.6:
            for s in np.flatnonzero(np.diff(states.astype(int))):
                self.stand(objects.traffic_light(rng), path.at(float(s), edge), facing, 0.4)
        chance = {'downtown': 0.45, 'residential': 0.7, 'park': 0.9}.get(self.plan.style, 0.3)
        if street.walk(side) > 2.2 and rng.uniform() < chance:
            step = rng.uniform(6, 14)
            kind = rng.integers(len(self.trees))
            for s in np.arange(rng.uniform(0, step), path.length, step):
                if clear(s) and rng.uniform() < 0.85:
                    place = path.at(s + rng.uniform(-1, 1), edge + side * 0.4)
                    self.stand(self._varied(self.trees[kind]), place, rng.uniform(0, 6), 0.8)
        for _ in range(rng.poisson(path.length / 14)):
            mesh = objects.small_furniture(rng)
            place = path.at(rng.uniform(0, path.length), edge + side * rng.uniform(0, 0.3))
            self.stand(mesh, place, inward, 0.7)
        for _ in range(rng.poisson(path.length / 60)):
            x, y, heading = path.at(rng.uniform(0, path.length), edge + side * 0.3)
            self.park(objects.bicycle(rng), float(x), float(y), float(heading), self.room.road)

    def _varied(self, mesh: Mesh) -> Mesh:
        """The same plant in another size and shade."""
        rng = self.rng
        varied = mesh.tinted(rng.uniform(0.75, 1.2) * rng.uniform(0.92, 1.08, 3))
        varied.corners = varied.corners * np.float32(rng.uniform(0.75, 1.2))
        return varied

    def buildings(self, street: Street, side: int) -> None:
        rng, style, path = self.rng, self.plan.style, street.path
        front, heights, gaps, setbacks, share = {
            'downtown': ((9, 26), (8, 30), (0, 1.5), (0.2, 2.5), 0.95),
            'residential': ((7, 15), (3, 8), (2.5, 9), (2.5, 8), 0.9),
            'park': ((8, 16), (3, 10), (8, 30), (5, 14), 0.3),
            'industrial': ((16, 42), (4, 10), (3, 14), (3, 10), 0.85),
        }[style]
        base = rng.uniform(*setbacks)
        tall = rng.uniform(0.55, 1.0)
        s = rng.uniform(0, 6)
        while s < path.length - 5:
            length = rng.uniform(*front)
            if rng.uniform() < share:
                depth = rng.uniform(8, 14 if style != 'industrial' else 25)
                setback = max(base + rng.normal(0, 0.4 if style == 'downtown' else 1.0), 0.2)
                away = street.edge(side) + street.walk(side) + setback + depth / 2
                x, y, heading = (float(v) for v in path.at(s + length / 2, side * away))
                corners = _footprint(x, y, heading, length, depth)
                if self.room.take(corners, self.room.street):
                    height = rng.uniform(heights[0], heights[0] + tall * (heights[1] - heights[0]))
                    house = building(rng, self.atlas, length, depth, height)
                    self._on_ground(house, x, y, heading + (0 if side > 0 else np.pi))
            s += length + rng.uniform(*gaps)

    def frontage(self, street: Street, side: int) -> None:
        """Hedges, fences and garden walls along the pavement."""
        rng, style, path = self.rng, self.plan.style, street.path
        chance = {'downtown': 0.05, 'residential': 0.6, 'park': 0.3}.get(style, 0.6)
        away = street.edge(side) + street.walk(side) + 0.5
        s = 0.0
        while s < path.length - 8:
            length = rng.uniform(4, 12)
            if rng.uniform() < chance:
                x, y, heading = (float(v) for v in path.at(s + length / 2, side * away))
                if self.room.take(_footprint(x, y, heading, length, 0.7), self.room.street):
                    kind = rng.uniform()
                    if kind < 0.45:
                        mesh = objects.hedge(rng, length)
                    elif kind < 0.8:
                        mesh = wall(length, rng.uniform(0.8, 1.9), Layer.FENCE, np.ones(3))
                    else:
                        mesh = wall(length, rng.uniform(0.5, 1.6), Layer.BRICK_WALL, np.ones(3))
                    self._on_ground(mesh, x, y, heading)
            s += length + rng.uniform(0.5, 5)

    def backdrop(self) -> None:
        """Taller houses further away, so that the street does not end in nothing."""
        rng, plan = self.rng, self.plan
        count = {'downtown': 40, 'residential': 25, 'park': 8}.get(plan.style, 16)
        for _ in range(count):
            x, y = rng.uniform(0, 1, 2) * plan.size
            heading = rng.choice(4) * np.pi / 2 + rng.normal(0, 0.1)
            length, depth = rng.uniform(10, 30), rng.uniform(9, 16)
            corners = _footprint(x, y, heading, length + 2, depth + 2)
            if self.room.take(corners, self.room.street):
                tall = 34 if plan.style == 'downtown' else 13
                house = building(rng, self.atlas, length, depth, rng.uniform(4, tall))
                self._on_ground(house, x, y, heading)

    def greenery(self) -> None:
        """Trees and bushes in gardens, parks and yards near the drive."""
        rng, plan = self.rng, self.plan
        trees = {'downtown': 15, 'residential': 45, 'park': 85}.get(plan.style, 20)
        path = plan.ego_path
        for k in range(2 * trees):
            away = rng.choice([-1, 1]) * rng.uniform(6, 55)
            place = path.at(rng.uniform(0, path.length), away)
            source = self.trees if k % 2 else self.bushes
            mesh = self._varied(source[rng.integers(len(source))])
            x, y, heading = (float(v) for v in place)
            if self.room.take(_footprint(x, y, heading, 1.2, 1.2), self.room.street):
                self._on_ground(mesh, x, y, rng.uniform(0, 6))
