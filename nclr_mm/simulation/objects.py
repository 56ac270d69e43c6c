"""Meshes of road users and street furniture, each with random sizes, shapes and colours.

Every mesh stands at the origin of its own frame: x forward, y left, z up from the ground, metres,
centred in x and y. Sizes are drawn from the usual ranges of such objects.
"""

from __future__ import annotations

import numpy as np

from .labels import Semantic
from .mesh import (
    WHITE,
    Array,
    Mesh,
    block,
    cylinder,
    ellipsoid,
    frustum,
    inset,
    join,
    pose_of,
    quads,
    rgb,
    strut,
)
from .textures import NUM_FOLIAGE, NUM_SIGNS, Layer

Rng = np.random.Generator

_CAR_PAINTS = (
    (238, 238, 238),
    (190, 192, 195),
    (120, 122, 126),
    (42, 43, 46),
    (28, 30, 34),
    (160, 28, 30),
    (30, 58, 120),
    (60, 110, 170),
    (48, 78, 58),
    (190, 170, 120),
    (200, 110, 30),
    (110, 60, 40),
    (215, 190, 50),
)
_CLOTHES = (
    (30, 32, 40),
    (60, 62, 70),
    (40, 55, 95),
    (150, 30, 35),
    (200, 195, 185),
    (70, 90, 60),
    (190, 150, 60),
    (110, 70, 110),
    (60, 130, 150),
    (225, 225, 225),
    (230, 110, 40),
)


def _pick(rng: Rng, colours: tuple[tuple[int, int, int], ...]) -> Array:
    colour = np.clip(np.array(colours[rng.integers(len(colours))]) + rng.normal(0, 9, 3), 5, 250)
    return rgb(*colour)


def _wash(rng: Rng) -> Array:
    """A light tint, so that vehicles of one texture differ."""
    return rng.uniform(0.3, 1.1, 3).astype(np.float32)


def _centred(mesh: Mesh) -> Mesh:
    low, high = mesh.bounds()
    return mesh.moved(-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2)


def _wheels(xs: list[float], half_width: float, radius: float, width: float) -> list[Mesh]:
    parts = []
    for x in xs:
        for side in (-1, 1):
            y = side * (half_width - width / 2)
            tyre = cylinder(radius, width, Layer.TYRE, sections=12, axis='y')
            hub = cylinder(
                radius * 0.6, width + 0.02, Layer.METAL, rgb(165, 166, 170), sections=8, axis='y'
            )
            parts += [tyre.moved(x, y, radius), hub.moved(x, y, radius)]
    return parts


def _lights(face: Array, front: bool, low: float = 0.45, high: float = 0.78) -> list[Mesh]:
    """Lamps at both ends and a number plate on a front or rear face."""
    tint = rgb(245, 240, 220) if front else rgb(190, 15, 15)
    lamps = np.stack(
        [inset(face, (0.02, 0.2), (low, high), 0.02), inset(face, (0.8, 0.98), (low, high), 0.02)]
    )
    plate = inset(face, (0.36, 0.64), (0.22, 0.42), 0.025)
    return [
        quads(lamps, Layer.LAMP, tint),
        quads(plate, Layer.PLATE, rgb(240, 240, 235) if front else rgb(240, 225, 150)),
    ]


def _glazed(faces: dict[str, Array], paint: Array) -> list[Mesh]:
    """A cabin: painted pillars and roof, glass panes in the four sides."""
    sides = [faces[name] for name in ('front', 'back', 'left', 'right')]
    panes = [inset(sides[0], (0.04, 0.96), (0.06, 0.94)), inset(sides[1], (0.06, 0.94), (0.1, 0.9))]
    for side in sides[2:]:
        panes += [inset(side, (0.07, 0.47), (0.08, 0.9)), inset(side, (0.51, 0.94), (0.08, 0.9))]
    return [
        quads(np.stack(sides + [faces['top'], faces['bottom']]), Layer.PAINT, paint),
        quads(np.stack(panes), Layer.GLASS),
    ]


def car(rng: Rng) -> Mesh:
    """A hatchback, saloon, estate car, off-roader, van or pick-up."""
    kind = rng.choice(
        ['hatch', 'saloon', 'estate', 'suv', 'van', 'pickup'], p=[0.24, 0.24, 0.14, 0.22, 0.1, 0.06]
    )
    length, width, height, belt = {
        'hatch': (4.0, 1.75, 1.48, 0.92),
        'saloon': (4.65, 1.82, 1.45, 0.9),
        'estate': (4.7, 1.82, 1.5, 0.92),
        'suv': (4.6, 1.9, 1.72, 1.05),
        'van': (5.1, 1.98, 2.05, 1.15),
        'pickup': (5.3, 1.95, 1.8, 1.08),
    }[str(kind)]
    length *= rng.uniform(0.94, 1.07)
    height *= rng.uniform(0.96, 1.05)
    bonnet, boot, front_rake, rear_rake = {
        'hatch': (0.23, 0.02, 0.13, 0.06),
        'saloon': (0.25, 0.15, 0.13, 0.1),
        'estate': (0.25, 0.02, 0.13, 0.05),
        'suv': (0.24, 0.02, 0.1, 0.05),
        'van': (0.13, 0.01, 0.11, 0.01),
        'pickup': (0.24, 0.36, 0.1, 0.03),
    }[str(kind)]
    paint = _pick(rng, _CAR_PAINTS)
    x0, x1, half = -length / 2, length / 2, width / 2
    clearance = 0.22 if kind != 'suv' else 0.3
    sill = frustum(
        (x0 + 0.08, x1 - 0.08, -half + 0.06, half - 0.06), (x0, x1, -half, half), clearance, 0.5
    )
    flank = frustum(
        (x0, x1, -half, half),
        (x0 + 0.06, x1 - 0.14, -half + 0.05, half - 0.05),
        0.5,
        belt,
    )
    cabin = frustum(
        (x0 + boot * length + 0.06, x1 - bonnet * length, -half + 0.05, half - 0.05),
        (
            x0 + (boot + rear_rake) * length,
            x1 - (bonnet + front_rake) * length,
            -half + 0.24,
            half - 0.24,
        ),
        belt,
        height,
    )
    bumper = rgb(45, 46, 48) if rng.uniform() < 0.5 else paint
    parts = [
        quads(np.stack(list(sill.values())), Layer.PLASTIC, bumper),
        quads(np.stack(list(flank.values())), Layer.PAINT, paint),
        quads(
            inset(flank['front'], (0.22, 0.78), (0.5, 0.85), 0.015), Layer.PLASTIC, rgb(30, 30, 32)
        ),
        *_glazed(cabin, paint),
        *_lights(flank['front'], True),
        *_lights(flank['back'], False),
        *_wheels([x0 + 0.19 * length, x1 - 0.19 * length], half + 0.01, 0.33, 0.22),
    ]
    for side in (-1, 1):
        mirror = block((-0.08, 0.08), (-0.07, 0.07), (0, 0.13), Layer.PAINT, paint)
        parts.append(mirror.moved(x1 - bonnet * length - 0.35, side * (half + 0.02), belt))
        line = flank['left' if side > 0 else 'right']
        for at in (0.36, 0.58):
            parts.append(
                quads(
                    inset(line, (at, at + 0.004), (0.02, 0.98), 0.004),
                    Layer.PLASTIC,
                    rgb(20, 20, 20),
                )
            )
    return _centred(join(parts)).labelled(Semantic.CAR)


def bus(rng: Rng) -> Mesh:
    """A city bus; each side carries the bus texture once along its length."""
    length, width, height = rng.uniform(10.5, 12.2), 2.55, rng.uniform(3.0, 3.3)
    x0, x1, half = -length / 2, length / 2, width / 2
    hull = frustum((x0, x1, -half, half), (x0, x1, -half, half), 0.35, height)
    accent = rng.uniform(0.02, 0.7, 3).astype(np.float32)
    parts = [
        quads(np.stack([hull['left'], hull['right']]), Layer.BUS_SIDE, _wash(rng)),
        quads(
            np.stack([hull['front'], hull['back'], hull['top'], hull['bottom']]),
            Layer.PAINT,
            accent,
        ),
        quads(inset(hull['front'], (0.04, 0.96), (0.3, 0.82)), Layer.GLASS),
        quads(inset(hull['back'], (0.1, 0.9), (0.5, 0.82)), Layer.GLASS),
        quads(inset(hull['front'], (0.25, 0.75), (0.86, 0.97)), Layer.LAMP, rgb(240, 150, 20)),
        *_lights(hull['front'], True, 0.08, 0.16),
        *_lights(hull['back'], False, 0.2, 0.3),
        *_wheels([x0 + 2.8, x1 - 2.5], half, 0.48, 0.3),
        block((x0 + 1, x0 + 4), (-0.8, 0.8), (height, height + 0.25), Layer.PAINT, accent * 0.8),
    ]
    return _centred(join(parts)).labelled(Semantic.BUS)


def truck(rng: Rng) -> Mesh:
    """A rigid lorry: cab, and a box body or an open bed with load."""
    length, width = rng.uniform(6.2, 9.5), rng.uniform(2.2, 2.5)
    height, cab_length = rng.uniform(2.9, 3.7), rng.uniform(1.6, 2.1)
    x0, x1, half = -length / 2, length / 2, width / 2
    paint = _pick(rng, _CAR_PAINTS)
    cab_height = min(height - 0.3, 2.7)
    cab_low = frustum(
        (x1 - cab_length, x1, -half, half), (x1 - cab_length, x1, -half, half), 0.4, 1.45
    )
    cab_top = frustum(
        (x1 - cab_length, x1, -half, half),
        (x1 - cab_length, x1 - 0.25, -half + 0.08, half - 0.08),
        1.45,
        cab_height,
    )
    body_end = x1 - cab_length - 0.15
    parts = [
        quads(np.stack(list(cab_low.values())), Layer.PAINT, paint),
        *_glazed(cab_top, paint),
        *_lights(cab_low['front'], True, 0.2, 0.45),
        block((x0 + 0.1, x1 - 0.3), (-0.45, 0.45), (0.5, 0.95), Layer.METAL, rgb(50, 50, 55)),
        *_wheels([x0 + 1.3, x1 - 1.0], half, 0.46, 0.28),
    ]
    if rng.uniform() < 0.7:
        hull = frustum((x0, body_end, -half, half), (x0, body_end, -half, half), 0.95, height)
        parts += [
            quads(np.stack(list(hull.values())), Layer.TRUCK_SIDE, _wash(rng)),
            *_lights(hull['back'], False, 0.02, 0.07),
        ]
    else:
        parts += [
            block((x0, body_end), (-half, half), (0.95, 1.15), Layer.METAL, rgb(90, 90, 95)),
            block((x0, x0 + 0.08), (-half, half), (1.15, 1.7), Layer.PAINT, paint),
        ]
        for side in (-1, 1):
            y = sorted((side * half, side * (half - 0.08)))
            parts.append(block((x0, body_end), y, (1.15, 1.7), Layer.PAINT, paint))
        x = x0 + 0.4
        while x < body_end - 1.2:
            size = rng.uniform(0.7, 1.2)
            parts.append(block((x, x + size), (-0.8, 0.7), (1.15, 1.3 + size), Layer.FENCE))
            x += size + 0.2
    return _centred(join(parts)).labelled(Semantic.TRUCK)


def pedestrian(rng: Rng, phase: float | None = None) -> Mesh:
    """A person in mid-stride (``phase`` rad) or standing (None)."""
    scale = rng.uniform(0.88, 1.1)
    top, legs = _pick(rng, _CLOTHES), _pick(rng, _CLOTHES)
    hair = _pick(rng, ((40, 30, 22), (90, 60, 35), (150, 120, 70), (25, 22, 20), (130, 130, 130)))
    swing = 0.0 if phase is None else 0.32 * np.sin(phase)
    stout = rng.uniform(0.9, 1.25)
    parts = [
        ellipsoid((0.15 * stout, 0.22 * stout, 0.36), Layer.CLOTH, top).moved(z=1.15),
        ellipsoid((0.105, 0.09, 0.13), Layer.SKIN, WHITE).moved(z=1.63),
        ellipsoid((0.115, 0.1, 0.1), Layer.CLOTH, hair).moved(x=-0.02, z=1.69),
        cylinder(0.05, 0.12, Layer.SKIN, sections=6).moved(z=1.45),
    ]
    for side in (-1, 1):
        foot = swing * side
        parts += [
            strut((0, 0.09 * side, 0.9), (foot, 0.1 * side, 0.05), 0.085, Layer.CLOTH, legs),
            block(
                (foot - 0.08, foot + 0.18),
                (0.1 * side - 0.05, 0.1 * side + 0.05),
                (0, 0.1),
                Layer.TYRE,
            ),
            strut(
                (0, 0.24 * side * stout, 1.4),
                (-0.8 * foot, 0.28 * side * stout, 0.85),
                0.05,
                Layer.CLOTH,
                top,
            ),
        ]
    if rng.uniform() < 0.35:
        bag = _pick(rng, _CLOTHES)
        parts.append(block((-0.34, -0.13), (-0.15, 0.15), (1.0, 1.45), Layer.CLOTH, bag))
    mesh = join(parts)
    mesh.corners = mesh.corners * np.float32(scale)
    return _centred(mesh).labelled(Semantic.PEDESTRIAN)


def _two_wheeler(rng: Rng, heavy: bool) -> list[Mesh]:
    paint = _pick(rng, _CAR_PAINTS)
    radius = 0.3 if heavy else 0.34
    base = 0.68 if heavy else 0.53
    thick = 0.07 if heavy else 0.022
    parts = []
    for x in (-base, base):
        for k in range(8):
            low, high = np.pi * k / 4, np.pi * (k + 1) / 4
            parts.append(
                strut(
                    (x + radius * np.cos(low), 0, radius * (1 + np.sin(low))),
                    (x + radius * np.cos(high), 0, radius * (1 + np.sin(high))),
                    thick,
                    Layer.TYRE,
                    sections=4,
                )
            )
    seat, bar, hub = (-0.2, 0, 0.9), (0.42, 0, 1.0), (0.0, 0, 0.32)
    for a, b in (
        (seat, hub),
        (hub, bar),
        (seat, (-base, 0, radius)),
        (bar, (base, 0, radius)),
        ((-0.14, 0, 0.8), (0.4, 0, 0.85)),
        ((0.42, -0.28, 1.02), (0.42, 0.28, 1.02)),
    ):
        parts.append(strut(a, b, 0.05 if heavy else 0.028, Layer.PAINT, paint, sections=4))
    parts.append(block((-0.34, -0.08), (-0.07, 0.07), (0.88, 0.95), Layer.TYRE))
    if heavy:
        parts.append(ellipsoid((0.42, 0.16, 0.2), Layer.PAINT, paint).moved(z=0.72))
        parts.append(block((-0.3, 0.25), (-0.15, 0.15), (0.25, 0.55), Layer.METAL, rgb(90, 90, 95)))
    return parts


def bicycle(rng: Rng) -> Mesh:
    """A parked bicycle."""
    return _centred(join(_two_wheeler(rng, False))).labelled(Semantic.BICYCLE)


def motorcycle(rng: Rng) -> Mesh:
    """A parked motorcycle."""
    return _centred(join(_two_wheeler(rng, True))).labelled(Semantic.MOTORCYCLE)


def cyclist(rng: Rng) -> Mesh:
    """A rider on a bicycle."""
    top, legs = _pick(rng, _CLOTHES), _pick(rng, _CLOTHES)
    lean = pose_of(0, 0, 0, 0)
    angle = rng.uniform(0.3, 0.7)
    lean[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
    lean[:3, 3] = 0.02, 0, 1.22
    parts = _two_wheeler(rng, False)
    parts += [
        ellipsoid((0.15, 0.21, 0.36), Layer.CLOTH, top).transformed(lean),
        ellipsoid((0.11, 0.09, 0.12), Layer.SKIN).moved(0.3, 0, 1.72),
        ellipsoid((0.15, 0.11, 0.09), Layer.PAINT, _pick(rng, _CAR_PAINTS)).moved(0.28, 0, 1.8),
    ]
    for side in (-1, 1):
        y = 0.11 * side
        knee = (0.22, y, 0.72 + 0.13 * side)
        parts += [
            strut((-0.16, y, 0.95), knee, 0.08, Layer.CLOTH, legs),
            strut(knee, (0.02, y, 0.3 + 0.12 * side), 0.065, Layer.CLOTH, legs),
            strut((0.2, 0.2 * side, 1.4), (0.42, 0.25 * side, 1.04), 0.05, Layer.CLOTH, top),
        ]
    return _centred(join(parts)).labelled(Semantic.CYCLIST)


def traffic_cone(rng: Rng) -> Mesh:
    """A cone with a reflecting collar."""
    height = rng.uniform(0.6, 0.85)
    return join(
        [
            block((-0.19, 0.19), (-0.19, 0.19), (0, 0.05), Layer.TYRE),
            cylinder(0.15, height, Layer.CONE, top_radius=0.03, sections=10),
            cylinder(0.115, height * 0.2, Layer.PLATE, top_radius=0.09, sections=10).moved(
                z=height * 0.4
            ),
        ]
    ).labelled(Semantic.CONE)


def barrier(rng: Rng) -> Mesh:
    """A striped road-works barrier, across x."""
    width = rng.uniform(1.4, 2.2)
    half = width / 2
    return join(
        [
            block((-0.04, 0.04), (-half, half), (0.65, 1.0), Layer.BARRIER),
            block((-0.04, 0.04), (-half, half), (0.25, 0.45), Layer.BARRIER),
            block((-0.3, 0.3), (-half, -half + 0.08), (0, 0.95), Layer.METAL, rgb(150, 150, 150)),
            block((-0.3, 0.3), (half - 0.08, half), (0, 0.95), Layer.METAL, rgb(150, 150, 150)),
        ]
    ).labelled(Semantic.BARRIER)


def lamp_post(rng: Rng) -> Mesh:
    """A street lamp whose arm reaches along +x."""
    height, reach = rng.uniform(5.5, 9.0), rng.uniform(0.8, 2.2)
    tint = rgb(*rng.choice([[60, 65, 62], [150, 152, 155], [95, 96, 98]]))
    return join(
        [
            cylinder(0.11, height, Layer.METAL, tint, top_radius=0.06),
            cylinder(0.17, 0.9, Layer.METAL, tint * 0.8),
            strut((0, 0, height - 0.1), (reach, 0, height + 0.25), 0.05, Layer.METAL, tint),
            block(
                (reach - 0.1, reach + 0.5),
                (-0.14, 0.14),
                (height + 0.18, height + 0.32),
                Layer.LAMP,
                rgb(220, 220, 210),
            ),
        ]
    ).labelled(Semantic.POLE)


def sign_post(rng: Rng) -> Mesh:
    """A traffic sign that faces -x, towards a driver who moves along +x."""
    height = rng.uniform(2.1, 2.8)
    pole = cylinder(0.035, height + 0.8, Layer.METAL, rgb(150, 152, 155), sections=6)
    parts = [pole.labelled(Semantic.POLE)]
    for k in range(1 + int(rng.uniform() < 0.3)):
        z = height - k * 0.85
        board = np.array(
            [[-0.06, 0.4, z], [-0.06, -0.4, z], [-0.06, -0.4, z + 0.8], [-0.06, 0.4, z + 0.8]]
        )
        back = board[[1, 0, 3, 2]] + [0.015, 0, 0]
        layer = Layer.SIGN + int(rng.integers(NUM_SIGNS))
        parts.append(quads(board, layer).labelled(Semantic.SIGN))
        parts.append(quads(back, Layer.METAL, rgb(120, 122, 125)).labelled(Semantic.SIGN))
    return join(parts)


def traffic_light(rng: Rng) -> Mesh:
    """A signal that faces -x, its arm along +y."""
    reach = rng.uniform(0.0, 4.5)
    tint = rgb(70, 72, 74)
    parts = [cylinder(0.09, 5.6, Layer.METAL, tint, sections=8)]
    heads = [(0.0, 2.6)]
    if reach > 2:
        parts.append(strut((0, 0, 5.5), (0, reach, 5.6), 0.06, Layer.METAL, tint))
        heads.append((reach, 5.0))
    lit = int(rng.integers(3))
    colours = (rgb(60, 230, 110), rgb(250, 190, 40), rgb(240, 30, 25))
    for y, z in heads:
        parts.append(
            block((-0.2, -0.02), (y - 0.17, y + 0.17), (z, z + 0.95), Layer.METAL, rgb(25, 27, 25))
        )
        for k in range(3):
            glow = colours[k] * (1.0 if k == lit else 0.12)
            parts.append(
                block(
                    (-0.23, -0.2),
                    (y - 0.1, y + 0.1),
                    (z + 0.08 + k * 0.3, z + 0.28 + k * 0.3),
                    Layer.LAMP,
                    glow,
                )
            )
    return join(parts).labelled(Semantic.POLE)


def small_furniture(rng: Rng) -> Mesh:
    """A bin, bollard, post box, electricity cabinet or bench."""
    kind = rng.integers(5)
    tint = _pick(rng, _CAR_PAINTS)
    if kind == 0:
        mesh = cylinder(rng.uniform(0.22, 0.35), rng.uniform(0.8, 1.1), Layer.PAINT, tint)
    elif kind == 1:
        mesh = cylinder(0.08, rng.uniform(0.7, 1.0), Layer.METAL, tint)
    elif kind == 2:
        mesh = block((-0.25, 0.25), (-0.3, 0.3), (0, 1.3), Layer.PAINT, tint)
    elif kind == 3:
        mesh = block((-0.2, 0.2), (-0.6, 0.6), (0, 1.25), Layer.CONCRETE)
    else:
        mesh = join(
            [
                block((-0.22, 0.22), (-0.8, 0.8), (0.42, 0.48), Layer.FENCE),
                block((-0.24, -0.18), (-0.8, 0.8), (0.5, 0.9), Layer.FENCE),
                block((-0.2, 0.2), (-0.7, -0.62), (0, 0.42), Layer.METAL, tint),
                block((-0.2, 0.2), (0.62, 0.7), (0, 0.42), Layer.METAL, tint),
            ]
        )
    return mesh.labelled(Semantic.POLE)


def leaves(rng: Rng, centre: Array, radii: Array, count: int, size: float, layer: int) -> Mesh:
    """Leaf clusters: random triangles filling an ellipsoid, denser towards its skin."""
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    middle = centre + direction * radii * rng.uniform(0.35, 1.0, (count, 1)) ** 0.5
    corners = middle[:, None] + rng.normal(0, size, (count, 3, 3))
    uv = rng.uniform(0, 3, (count, 1, 2)) + rng.uniform(-1, 1, (count, 3, 2)) * size
    shade = rng.uniform(0.55, 1.15, (count, 1)) * (
        0.75 + 0.35 * direction[:, 2:]  # the underside is in its own shade
    )
    tint = np.clip(shade * np.ones(3), 0.15, 1.3).astype(np.float32)
    mesh = Mesh(
        corners.astype(np.float32),
        uv.astype(np.float32),
        np.full(count, layer, np.int16),
        tint,
        np.zeros(count, np.uint8),
        np.zeros(count, np.int32),
    )
    return mesh.labelled(Semantic.VEGETATION)


def tree(rng: Rng) -> Mesh:
    """A broad-leaved tree, a conifer or a slim column of leaves."""
    layer = Layer.FOLIAGE + int(rng.integers(NUM_FOLIAGE))
    kind = rng.choice(3, p=[0.7, 0.15, 0.15])
    height = rng.uniform(4.5, 11.0)
    stem = height * rng.uniform(0.25, 0.42) if kind == 0 else height * 0.12
    radius = rng.uniform(0.09, 0.2)
    bark = rng.uniform(0.6, 1.1) * WHITE
    parts = [
        cylinder(
            radius,
            stem + 0.35 * (height - stem),
            Layer.BARK,
            bark,
            sections=7,
            top_radius=radius * 0.5,
        ).labelled(Semantic.TRUNK)
    ]
    if kind == 0:
        crown = rng.uniform(1.3, 2.8)
        for _ in range(int(rng.integers(3, 6))):
            centre = np.array(
                [*rng.normal(0, crown * 0.35, 2), rng.uniform(stem + 0.8, height - 0.8)]
            )
            radii = np.array([crown * 0.75, crown * 0.75, (height - stem) * 0.3])
            parts.append(leaves(rng, centre, radii, 95, 0.26, layer))
    elif kind == 1:
        for level in np.linspace(0, 1, 6):
            spread = (1 - level) * height * 0.2 + 0.25
            centre = np.array([0, 0, stem + 0.5 + level * (height - stem - 0.5)])
            parts.append(leaves(rng, centre, np.array([spread, spread, 0.5]), 60, 0.2, layer))
    else:
        radii = np.array([0.8, 0.8, (height - stem) / 2])
        centre = np.array([0, 0, stem + radii[2]])
        parts.append(leaves(rng, centre, radii, 300, 0.2, layer))
    return join(parts)


def bush(rng: Rng) -> Mesh:
    """A shrub."""
    layer = Layer.FOLIAGE + int(rng.integers(NUM_FOLIAGE))
    size = rng.uniform(0.4, 1.1)
    radii = np.array([size, size, size * rng.uniform(0.6, 1.1)])
    return leaves(rng, np.array([0, 0, radii[2] * 0.8]), radii, 70, 0.17, layer)


def hedge(rng: Rng, length: float) -> Mesh:
    """A clipped hedge along x: a solid core with leaves on it."""
    layer = Layer.FOLIAGE + int(rng.integers(NUM_FOLIAGE))
    height = rng.uniform(0.8, 1.9)
    core = block((-length / 2, length / 2), (-0.3, 0.3), (0, height), layer, 0.8 * WHITE)
    count = int(length * 14)
    fluff = leaves(rng, np.zeros(3), np.ones(3), count, 0.12, layer)
    middle = np.stack(
        [
            rng.uniform(-length / 2, length / 2, count),
            rng.choice([-0.32, 0.32], count),
            rng.uniform(0.05, height + 0.1, count),
        ],
        1,
    )
    shift = middle[:, None] - fluff.corners.mean(1, keepdims=True)
    fluff.corners = (fluff.corners + shift).astype(np.float32)
    return join([core.labelled(Semantic.VEGETATION), fluff])
