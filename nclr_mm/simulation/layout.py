"""A random street plan: centre lines, the ego path, the ground's relief and its paving."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from .labels import Semantic
from .mesh import Array, Mesh, join, pose_of, quads, soup
from .textures import Layer

MARGIN = 115.0  # metres of street before and behind the drive: what the sensors can see
STEP = 0.5  # metres between the points of a centre line
# Codes of the ground raster.
TERRAIN, SIDEWALK, KERB, ROAD, MARK, MARK_YELLOW, PARKING, PATCH, MANHOLE, PLAZA, SOIL = range(11)

GROUND_LAYER = np.array(
    [
        Layer.TERRAIN,
        Layer.SIDEWALK,
        Layer.KERB,
        Layer.ASPHALT,
        Layer.MARK,
        Layer.MARK_YELLOW,
        Layer.PARKING,
        Layer.ASPHALT_PATCH,
        Layer.MANHOLE,
        Layer.PLAZA,
        Layer.SOIL,
    ],
    np.int16,
)
GROUND_SEMANTIC = np.array(
    [
        Semantic.TERRAIN,
        Semantic.SIDEWALK,
        Semantic.SIDEWALK,
        Semantic.ROAD,
        Semantic.LANE_MARK,
        Semantic.LANE_MARK,
        Semantic.ROAD,
        Semantic.ROAD,
        Semantic.ROAD,
        Semantic.SIDEWALK,
        Semantic.TERRAIN,
    ],
    np.uint8,
)
IS_ROAD = np.zeros(11, np.bool_)
IS_ROAD[[ROAD, MARK, MARK_YELLOW, PARKING, PATCH, MANHOLE]] = True
STYLES = ('downtown', 'residential', 'park', 'industrial')


class Path:
    """A polyline with arc length. Points (N,2) in metres."""

    def __init__(self, points: Array) -> None:
        self.points = np.asarray(points, np.float64)
        step = np.diff(self.points, axis=0)
        length = np.hypot(step[:, 0], step[:, 1])
        self.s = np.concatenate([[0.0], np.cumsum(length)])
        self._heading = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
        self._middle = (self.s[1:] + self.s[:-1]) / 2

    @property
    def length(self) -> float:
        return float(self.s[-1])

    def at(self, s: float | Array, left: float | Array = 0.0) -> tuple[Array, Array, Array]:
        """x, y and heading (rad) at arc length ``s``, ``left`` metres to the left of the line."""
        x = np.interp(s, self.s, self.points[:, 0])
        y = np.interp(s, self.s, self.points[:, 1])
        heading = np.interp(s, self._middle, self._heading)
        return x - left * np.sin(heading), y + left * np.cos(heading), heading

    def offset(self, left: float) -> Path:
        """A path beside this one."""
        x, y, _ = self.at(self.s, left)
        return Path(np.stack([x, y], 1))

    def reversed(self) -> Path:
        return Path(self.points[::-1])


@dataclass
class Street:
    """A street and its cross section; widths in metres, each pair is left, right."""

    path: Path
    lanes: int
    lane_width: float
    parking: tuple[float, float]
    sidewalk: tuple[float, float]

    @property
    def half_lanes(self) -> float:
        return self.lanes * self.lane_width

    def edge(self, side: int) -> float:
        """Distance from centre line to kerb; side is +1 left, -1 right."""
        return self.half_lanes + self.parking[0 if side > 0 else 1]

    def walk(self, side: int) -> float:
        return self.sidewalk[0 if side > 0 else 1]


@dataclass
class Relief:
    """Gentle hills: a sum of plane waves."""

    amplitude: Array
    wave: Array
    phase: Array

    def height(self, x: Array | float, y: Array | float) -> Array:
        """Height in metres at x, y."""
        angle = np.multiply.outer(x, self.wave[:, 0]) + np.multiply.outer(y, self.wave[:, 1])
        return np.sin(angle + self.phase) @ self.amplitude

    def pose(self, x: float, y: float, heading: float) -> Array:
        """4x4 pose of something that stands on the ground and leans with it."""
        angle = self.wave @ np.array([x, y]) + self.phase
        slope = (np.cos(angle) * self.amplitude) @ self.wave
        up = np.array([-slope[0], -slope[1], 1.0])
        up /= np.linalg.norm(up)
        forward = np.array([np.cos(heading), np.sin(heading), 0.0])
        forward -= forward @ up * up
        forward /= np.linalg.norm(forward)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([forward, np.cross(up, forward), up], 1)
        pose[:3, 3] = x, y, self.height(x, y)
        return pose


@dataclass
class Plan:
    """The street plan. ``raster`` (rows y, columns x) holds ground codes, ``resolution`` m a cell;
    cell (0,0) has its corner at the origin. ``handed`` is -1 where traffic keeps right, else +1."""

    streets: list[Street]
    ego_path: Path
    ego_start: float
    relief: Relief
    style: str
    handed: int
    size: tuple[float, float]
    resolution: float = 0.05
    raster: Array = field(default_factory=lambda: np.zeros((1, 1), np.uint8))

    def ground_codes(self, x: Array, y: Array) -> Array:
        """Ground code (n,) at x, y in metres; terrain beyond the raster."""
        column = (x * (1 / self.resolution)).astype(np.int32)
        row = (y * (1 / self.resolution)).astype(np.int32)
        rows, columns = self.raster.shape
        inside = (column >= 0) & (row >= 0) & (column < columns) & (row < rows)
        codes = self.raster[np.where(inside, row, 0), np.where(inside, column, 0)]
        return np.where(inside, codes, TERRAIN)


def _curve(length: float, curvature: Array) -> Array:
    """Points of a line from the origin along +x with a curvature (1/m) at each step."""
    heading = np.cumsum(curvature) * STEP
    step = np.stack([np.cos(heading), np.sin(heading)], 1) * STEP
    return np.concatenate([np.zeros((1, 2)), np.cumsum(step, 0)])[: int(length / STEP) + 1]


def _line(point: Array, heading: float, before: float, after: float) -> Path:
    t = np.arange(-before, after, STEP)[:, None]
    return Path(np.asarray(point) + t * np.array([np.cos(heading), np.sin(heading)]))


def _main_curvature(rng: np.random.Generator, kind: str, length: float) -> Array:
    s = np.arange(0, length + STEP, STEP)
    if kind == 'curve':
        sign = rng.choice([-1, 1])
        middle, width = rng.uniform(0.35, 0.6) * length, rng.uniform(30, 80)
        return sign / rng.uniform(35, 160) * np.exp(-(((s - middle) / width) ** 4))
    if kind == 's_curve':
        return 1 / rng.uniform(60, 160) * np.sin(s / rng.uniform(22, 50) + rng.uniform(0, 6))
    return np.zeros_like(s)


def _fillet(a: Path, b: Path, corner_a: float, corner_b: float, radius: float) -> Path:
    """Path along ``a`` up to its arc length ``corner_a``, round an arc, and on along ``b``."""
    _, _, heading_a = a.at(corner_a)
    _, _, heading_b = b.at(corner_b)
    turn = (heading_b - heading_a + np.pi) % (2 * np.pi) - np.pi
    tangent = radius * np.tan(abs(turn) / 2)
    angles = np.linspace(0, turn, max(int(abs(turn) * radius / STEP), 4))
    x, y, _ = a.at(corner_a - tangent)
    sign = np.sign(turn)
    centre = np.array(
        [x - sign * radius * np.sin(heading_a), y + sign * radius * np.cos(heading_a)]
    )
    arc = centre + sign * radius * np.stack(
        [np.sin(heading_a + angles), -np.cos(heading_a + angles)], 1
    )
    head = a.points[a.s < corner_a - tangent - 0.1]
    tail = b.points[b.s > corner_b + tangent + 0.1]
    return Path(np.concatenate([head, arc, tail]))


def _cross_section(rng: np.random.Generator, path: Path, style: str, main: bool) -> Street:
    wide = main and rng.uniform() < {'downtown': 0.5, 'industrial': 0.3}.get(style, 0.15)
    parking = [
        rng.uniform(2.1, 2.5) if rng.uniform() < (0.35 if style == 'park' else 0.75) else 0.0
        for _ in range(2)
    ]
    walk = {'downtown': (2.8, 5.0), 'park': (1.8, 3.2)}.get(style, (1.8, 3.4))
    return Street(
        path,
        2 if wide else 1,
        rng.uniform(2.9, 3.7),
        (parking[0], parking[1]),
        (rng.uniform(*walk), rng.uniform(*walk)),
    )


def make_plan(rng: np.random.Generator, travel: float) -> Plan:
    """A street plan for a drive of ``travel`` metres.

    The drive begins at arc length ``ego_start`` of ``ego_path``. Everything lies at positive x, y.
    """
    kind = str(rng.choice(['straight', 'curve', 's_curve', 'turn'], p=[0.28, 0.28, 0.22, 0.22]))
    style = str(rng.choice(STYLES, p=[0.34, 0.34, 0.18, 0.14]))
    handed = -1 if rng.uniform() < 0.7 else 1
    length = travel + 2 * MARGIN
    ahead = MARGIN + rng.uniform(0.1, 1.0) * travel + rng.uniform(0, 35)
    turn_at = MARGIN + rng.uniform(0.3, 0.7) * travel + 8
    angle = rng.uniform(1.2, 1.94) * rng.choice([-1, 1])
    crossing = kind == 'turn' or rng.uniform() < 0.55
    if kind == 'turn':
        ahead = turn_at
        main = _line(np.zeros(2), 0.0, 0.0, ahead + MARGIN)
    else:
        main = Path(_curve(length, _main_curvature(rng, kind, length)))
    streets = [_cross_section(rng, main, style, True)]
    if crossing:
        x, y, heading = main.at(ahead)
        tee = kind != 'turn' and rng.uniform() < 0.35
        before = 0.0 if tee else MARGIN
        after = MARGIN + (travel if kind == 'turn' else 0.0)
        cross = _line(np.array([x, y]), float(heading) + angle, before, after)
        streets.append(_cross_section(rng, cross, style, kind == 'turn'))
    first = streets[0]
    lane = handed * first.lane_width * (rng.integers(first.lanes) + 0.5)
    if kind == 'turn':
        second = streets[1]
        out = handed * second.lane_width * 0.5
        a, b = first.path.offset(lane), second.path.offset(out)
        near = np.linalg.norm(a.points[:, None] - b.points[None], axis=2)
        i, j = np.unravel_index(int(near.argmin()), near.shape)
        ego = _fillet(a, b, float(a.s[i]), float(b.s[j]), rng.uniform(8.0, 12.0))
    else:
        ego = first.path.offset(lane)
    return _finish(rng, streets, ego, style, handed)


def _finish(
    rng: np.random.Generator, streets: list[Street], ego: Path, style: str, handed: int
) -> Plan:
    """Turns and shifts the plan into positive coordinates and paints its ground."""
    turn = pose_of(0, 0, 0, rng.uniform(-np.pi, np.pi))[:2, :2]
    everything = np.concatenate([s.path.points for s in streets] + [ego.points]) @ turn.T
    border = 70.0
    shift = border - everything.min(0)
    size = everything.max(0) + shift + border
    for street in streets:
        street.path = Path(street.path.points @ turn.T + shift)
    waves = 4
    direction = rng.uniform(0, 2 * np.pi, waves)
    number = 2 * np.pi / rng.uniform(70, 220, waves)
    relief = Relief(
        rng.uniform(0.0, 0.014, waves) / number,  # each wave's steepest slope is at most 1.4 %
        np.stack([np.cos(direction), np.sin(direction)], 1) * number[:, None],
        rng.uniform(0, 2 * np.pi, waves),
    )
    plan = Plan(
        streets,
        Path(ego.points @ turn.T + shift),
        MARGIN,
        relief,
        style,
        handed,
        (float(size[0]), float(size[1])),
    )
    # A long drive gets coarser cells, so that the raster stays below 64 million.
    plan.resolution = max(0.05, float(np.sqrt(size.prod() / 64e6)))
    plan.raster = _paint(rng, plan)
    return plan


class _Painter:
    """Draws on the ground raster in metres."""

    def __init__(self, plan: Plan) -> None:
        self.cell = plan.resolution
        shape = (int(plan.size[1] / self.cell) + 1, int(plan.size[0] / self.cell) + 1)
        self.image = np.zeros(shape, np.uint8)

    def _pixels(self, points: Array) -> Array:
        return np.round(np.asarray(points) / self.cell * 16 - 8).astype(np.int32).reshape(-1, 1, 2)

    def band(self, path: Path, low: float, high: float, code: int) -> None:
        """A strip along a path between two lateral offsets."""
        a, b = path.offset(low).points, path.offset(high).points
        for k in range(0, len(a) - 1, 8):
            piece = np.concatenate([a[k : k + 9], b[k : k + 9][::-1]])
            cv2.fillPoly(self.image, [self._pixels(piece)], (code,), shift=4)

    def polygon(self, points: Array, code: int) -> None:
        cv2.fillPoly(self.image, [self._pixels(points)], (code,), shift=4)

    def stripe(
        self, path: Path, s0: float, s1: float, left: float, width: float, code: int
    ) -> None:
        """A painted line of some width along a path."""
        s = np.linspace(s0, s1, max(int((s1 - s0) / 2) + 2, 2))
        ax, ay, _ = path.at(s, left - width / 2)
        bx, by, _ = path.at(s, left + width / 2)
        self.polygon(np.concatenate([np.stack([ax, ay], 1), np.stack([bx, by], 1)[::-1]]), code)


def _paint(rng: np.random.Generator, plan: Plan) -> Array:
    painter = _Painter(plan)
    frontage = {'downtown': PLAZA, 'industrial': PLAZA}.get(plan.style, TERRAIN)
    for street in plan.streets:
        if frontage == PLAZA:
            reach = 14.0
            painter.band(street.path, -street.edge(-1) - reach, street.edge(1) + reach, PLAZA)
    for _ in range(int(rng.integers(2, 9))):
        centre = rng.uniform(0, 1, 2) * plan.size
        blob = centre + rng.uniform(2, 9) * _star(rng, 11)
        painter.polygon(blob, SOIL)
    grass_verge = plan.style == 'park' or rng.uniform() < 0.2
    for street in plan.streets:
        low, high = -street.edge(-1), street.edge(1)
        painter.band(street.path, low - street.walk(-1), high + street.walk(1), SIDEWALK)
        if grass_verge and min(street.sidewalk) > 2.2:
            painter.band(street.path, low - 0.9, high + 0.9, TERRAIN)
    for street in plan.streets:
        low, high = -street.edge(-1), street.edge(1)
        painter.band(street.path, low - 0.18, high + 0.18, KERB)
    for street in plan.streets:
        painter.band(street.path, -street.edge(-1), street.edge(1), ROAD)
    for street in plan.streets:
        for side in (-1, 1):
            a, b = sorted((side * street.half_lanes, side * street.edge(side)))
            if b - a > 0.5 and rng.uniform() < 0.7:
                _parking_band(painter, plan, street, a, b)
    for street in plan.streets:
        for _ in range(int(street.path.length / 18)):
            x, y, heading = street.path.at(
                rng.uniform(0, street.path.length), rng.uniform(-1, 1) * street.half_lanes * 0.85
            )
            half = rng.uniform(0.4, 2.4), rng.uniform(0.3, 1.2)
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
            code = PATCH
            if rng.uniform() < 0.35:
                corners, code = (
                    0.33 * np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, 5.9, 14)]),
                    MANHOLE,
                )
            turn = pose_of(0, 0, 0, float(heading))[:2, :2]
            painter.polygon(corners @ turn.T + [float(x), float(y)], code)
    yellow = rng.uniform() < 0.3
    for index, street in enumerate(plan.streets):
        _lane_marks(rng, painter, plan, index, street, yellow)
    return painter.image


def _parking_band(painter: _Painter, plan: Plan, street: Street, a: float, b: float) -> None:
    clear = crossing_clear(plan, street)
    for s in np.arange(0, street.path.length - 2, 2.0):
        if clear(s) and clear(s + 2):
            painter.stripe(street.path, s, s + 2.05, (a + b) / 2, b - a, PARKING)
            if int(s) % 6 == 0:
                painter.stripe(street.path, s, s + 0.12, (a + b) / 2, b - a, MARK)


def crossing_clear(plan: Plan, street: Street):  # type: ignore[no-untyped-def]
    """A test of arc length: is this place clear of every other street's junction?"""
    others = [
        (s.path.points, max(s.edge(1), s.edge(-1)) + 3.5) for s in plan.streets if s is not street
    ]

    def clear(s: float) -> bool:
        x, y, _ = street.path.at(s)
        point = np.array([float(x), float(y)])
        return all(
            float(np.min(np.linalg.norm(points - point, axis=1))) > reach
            for points, reach in others
        )

    return clear


def _star(rng: np.random.Generator, corners: int) -> Array:
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return (np.stack([np.cos(angle), np.sin(angle)]) * rng.uniform(0.5, 1.2, corners)).T


def _lane_marks(
    rng: np.random.Generator,
    painter: _Painter,
    plan: Plan,
    index: int,
    street: Street,
    yellow: bool,
) -> None:
    """Centre line, lane lines, edge lines, arrows, stop lines and zebra crossings."""
    clear = crossing_clear(plan, street)
    path = street.path
    centre = MARK_YELLOW if yellow else MARK
    solid = rng.uniform() < 0.4
    edges = rng.uniform() < 0.6
    dash, gap = rng.uniform(2, 4), rng.uniform(3, 7)
    free = np.array([clear(s) for s in np.arange(0, path.length, 1.0)])

    def runs(on: float, off: float) -> list[tuple[float, float]]:
        pieces = []
        s = 0.0
        while s + on < path.length:
            if free[int(s) : int(s + on) + 1].all():
                pieces.append((s, s + on))
            s += on + off
        return pieces

    if rng.uniform() < 0.9:
        for a, b in runs(2.0, 0.0) if solid else runs(dash, gap):
            for left in (-0.13, 0.13) if solid else (0.0,):
                painter.stripe(path, a, b + (0.02 if solid else 0), left, 0.14, centre)
    for lane in range(1, street.lanes):
        for a, b in runs(dash, gap):
            for side in (-1, 1):
                painter.stripe(path, a, b, side * lane * street.lane_width, 0.13, MARK)
    if edges:
        for a, b in runs(2.0, 0.0):
            for side in (-1, 1):
                painter.stripe(path, a, b + 0.02, side * (street.half_lanes - 0.12), 0.13, MARK)
    # Places where the street meets a junction: a zebra crossing and a stop line.
    borders = [float(s) for s in np.flatnonzero(np.diff(free.astype(int)))]
    zebras = [s for s in borders if rng.uniform() < 0.8]
    if rng.uniform() < 0.35:
        zebras.append(rng.uniform(0.3, 0.7) * path.length)
    low, high = -street.edge(-1), street.edge(1)
    for s in zebras:
        for left in np.arange(low + 0.4, high - 0.3, 1.0):
            painter.stripe(path, s - 1.4, s + 1.4, left + 0.25, 0.5, MARK)
        for side in (-1, 1):
            before = s - 2.8 if side == plan.handed else s + 2.4
            painter.stripe(
                path,
                before,
                before + 0.35,
                side * street.half_lanes / 2,
                street.half_lanes - 0.3,
                MARK,
            )
    for s in np.arange(20, path.length - 20, rng.uniform(25, 50)):
        if clear(s) and rng.uniform() < 0.5:
            for side in (-1, 1):
                _arrow(painter, path, s, side, street.lane_width, side == plan.handed)


def _arrow(
    painter: _Painter, path: Path, s: float, side: int, lane_width: float, along: bool
) -> None:
    shape = np.array(
        [[-2, -0.08], [0.6, -0.08], [0.6, -0.4], [2, 0], [0.6, 0.4], [0.6, 0.08], [-2, 0.08]]
    )
    x, y, heading = path.at(s, side * lane_width / 2)
    turn = pose_of(0, 0, 0, float(heading) + (0 if along else np.pi))[:2, :2]
    painter.polygon(shape @ turn.T + [float(x), float(y)], MARK)


def ground_mesh(plan: Plan, cell: float = 4.0) -> Mesh:
    """The ground as a height field, with a wide skirt of terrain round it."""
    x = np.arange(0, plan.size[0] + cell, cell)
    y = np.arange(0, plan.size[1] + cell, cell)
    skirt = 900.0
    x = np.concatenate([[x[0] - skirt], x, [x[-1] + skirt]])
    y = np.concatenate([[y[0] - skirt], y, [y[-1] + skirt]])
    gx, gy = np.meshgrid(x, y, indexing='ij')
    points = np.stack([gx, gy, plan.relief.height(gx, gy)], -1)
    points[[0, -1], :, 2] -= 10.0  # the far rim sinks below the horizon
    points[:, [0, -1], 2] -= 10.0
    a, b, c, d = points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]
    corners = np.concatenate(
        [np.stack([a, b, c], -2).reshape(-1, 3, 3), np.stack([a, c, d], -2).reshape(-1, 3, 3)]
    )
    return soup(corners, corners[..., :2], Layer.GROUND).labelled(Semantic.TERRAIN)


def kerb_mesh(plan: Plan, rise: float = 0.12, width: float = 0.16) -> Mesh:
    """Kerb stones: a low ridge round every stretch of road."""
    road = IS_ROAD[plan.raster].view(np.uint8)
    contours, _ = cv2.findContours(road, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    rows, columns = plan.raster.shape
    faces = []
    for contour in contours:
        if cv2.contourArea(contour) < 2.0 / plan.resolution**2:
            continue
        line = cv2.approxPolyDP(contour, 1.2, True)[:, 0].astype(np.float64)
        ends = np.roll(line, -1, 0)
        away = ~(
            ((line == 0) & (ends == 0)).any(1)
            | (np.minimum(line, ends) >= [columns - 1, rows - 1]).any(1)
        )
        a, b = (line[away] + 0.5) * plan.resolution, (ends[away] + 0.5) * plan.resolution
        run = b - a
        # Long stretches are cut so that they follow the ground.
        count = np.maximum(np.ceil(np.hypot(run[:, 0], run[:, 1]) / 4.0).astype(int), 1)
        which = np.repeat(np.arange(len(a)), count)
        part = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        share = 1.0 / count[which][:, None]
        p = a[which] + run[which] * part[:, None] * share
        q = p + run[which] * share
        # findContours runs with the road on its left in image axes, so the normal points outward.
        normal = np.stack([run[which][:, 1], -run[which][:, 0]], 1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
        area = 0.5 * np.sum(line[:, 0] * ends[:, 1] - line[:, 1] * ends[:, 0])
        outward = width * (normal if area > 0 else -normal)
        p0, q0 = _lift(plan, p, -0.05), _lift(plan, q, -0.05)
        p1, q1 = _lift(plan, p, rise), _lift(plan, q, rise)
        p2, q2 = _lift(plan, p + outward, rise), _lift(plan, q + outward, rise)
        p3, q3 = _lift(plan, p + outward, -0.05), _lift(plan, q + outward, -0.05)
        for quad in ((p0, q0, q1, p1), (p1, q1, q2, p2), (p2, q2, q3, p3)):
            faces.append(quads(np.stack(quad, 1), Layer.KERB))
    return join(faces).labelled(Semantic.SIDEWALK)


def _lift(plan: Plan, xy: Array, above: float) -> Array:
    return np.concatenate([xy, (plan.relief.height(xy[:, 0], xy[:, 1]) + above)[:, None]], 1)
