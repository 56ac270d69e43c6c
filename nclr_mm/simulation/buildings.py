"""Buildings: walls with facade textures, roofs, balconies, awnings, steps and chimneys."""

from __future__ import annotations

import numpy as np

from .labels import Semantic
from .mesh import Array, Mesh, block, join, quads, rgb, soup
from .textures import NUM_FACADES, Atlas, Layer


def _walls(length: float, depth: float, z0: float, z1: float, layer: int, snap: float) -> Mesh:
    """Four walls of a block centred at the origin; texture shifted so that bays end at corners."""
    x, y = length / 2, depth / 2
    corners = [(-x, -y), (x, -y), (x, y), (-x, y)]
    faces = []
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        face = quads(np.array([[ax, ay, z0], [bx, by, z0], [bx, by, z1], [ax, ay, z1]]), layer)
        width = float(np.hypot(bx - ax, by - ay))
        bays = max(round(width / snap), 1)
        face.uv[..., 0] *= bays * snap / width
        faces.append(face)
    return join(faces)


def _gable_roof(length: float, depth: float, z: float, rise: float, layer: int) -> Mesh:
    """A ridge along x with eaves, and its two triangular gable walls."""
    x, y, over = length / 2, depth / 2, 0.4
    drop = rise * over / y
    slopes = np.array(
        [
            [
                [-x - over, -y - over, z - drop],
                [x + over, -y - over, z - drop],
                [x + over, 0, z + rise],
                [-x - over, 0, z + rise],
            ],
            [
                [x + over, y + over, z - drop],
                [-x - over, y + over, z - drop],
                [-x - over, 0, z + rise],
                [x + over, 0, z + rise],
            ],
        ]
    )
    gables = np.array(
        [[[x, -y, z], [x, y, z], [x, 0, z + rise]], [[-x, y, z], [-x, -y, z], [-x, 0, z + rise]]]
    )
    return join([quads(slopes, Layer.ROOF_TILES), soup(gables, gables[..., 1:], layer)])


def building(
    rng: np.random.Generator, atlas: Atlas, length: float, depth: float, height: float
) -> Mesh:
    """A building along x, its street front at -y, about the height asked for.

    Args:
        length: front in metres.
        depth: metres away from the street.
        height: wanted height of the walls in metres; whole storeys are built.
    """
    style = int(rng.integers(NUM_FACADES))
    size = atlas.facades[style]
    storeys = max(round((height - size.ground_floor) / size.storey), 0)
    top = size.ground_floor + storeys * size.storey
    tint = (rng.uniform(0.7, 1.15) * rng.uniform(0.88, 1.12, 3)).astype(np.float32)
    walls = [
        _walls(length, depth, 0.0, size.ground_floor, Layer.SHOPFRONT + style, size.bay),
        # The wall also goes into the ground, which may slope.
        _walls(length, depth, -2.0, 0.0, Layer.CONCRETE, 1.0),
    ]
    if storeys:
        walls.append(_walls(length, depth, size.ground_floor, top, Layer.FACADE + style, size.bay))
    x, y = length / 2, depth / 2
    parts = [join(walls).tinted(tint)]
    if height < 11 and depth < 14 and rng.uniform() < 0.8:
        rise = depth / 2 * rng.uniform(0.5, 1.0)
        parts.append(_gable_roof(length, depth, top, rise, Layer.BRICK_WALL))
        if rng.uniform() < 0.6:
            cx = rng.uniform(-x * 0.7, x * 0.7)
            parts.append(
                block((cx - 0.3, cx + 0.3), (0.3, 1.0), (top, top + rise + 0.7), Layer.BRICK_WALL)
            )
    else:
        edge = rng.uniform(0.2, 0.9)
        rim = block((-x - 0.12, x + 0.12), (-y - 0.12, y + 0.12), (top, top + edge), Layer.CONCRETE)
        parts += [rim.tinted(tint), *_roof_plant(rng, x, y, top + edge)]
    parts += _relief(rng, size.bay, size.ground_floor, size.storey, storeys, x, y)
    return join(parts).labelled(Semantic.BUILDING)


def _roof_plant(rng: np.random.Generator, x: float, y: float, z: float) -> list[Mesh]:
    parts = [
        quads(
            np.array([[-x, -y, z], [x, -y, z], [x, y, z], [-x, y, z]]) + [0, 0, 0.01],
            Layer.ROOF_FLAT,
        )
    ]
    for _ in range(int(rng.integers(0, 3))):
        cx, cy = rng.uniform(-x, x) * 0.6, rng.uniform(-y, y) * 0.5
        w, h = rng.uniform(0.8, 2.0), rng.uniform(0.8, 2.5)
        parts.append(block((cx - w, cx + w), (cy - w, cy + w), (z, z + h), Layer.CONCRETE))
    return parts


def _relief(
    rng: np.random.Generator,
    bay: float,
    ground_floor: float,
    storey: float,
    storeys: int,
    x: float,
    y: float,
) -> list[Mesh]:
    """What stands out of the street front, so that geometry and picture change together."""
    parts: list[Mesh] = []
    bays = max(int(2 * x / bay), 1)
    if storeys and rng.uniform() < 0.45:
        columns = rng.choice(bays, max(bays // 3, 1), replace=False)
        tint = rgb(*rng.uniform(90, 235, 3))
        for column in columns:
            cx = -x + (column + 0.5) * 2 * x / bays
            for floor in range(storeys):
                z = ground_floor + floor * storey
                wide = bay * 0.42
                parts += [
                    block((cx - wide, cx + wide), (-y - 1.1, -y), (z, z + 0.15), Layer.CONCRETE),
                    block(
                        (cx - wide, cx + wide),
                        (-y - 1.1, -y - 1.04),
                        (z + 0.15, z + 1.0),
                        Layer.METAL,
                        tint,
                    ),
                ]
    if rng.uniform() < 0.4:
        reach = rng.uniform(0.8, 1.6)
        a = rng.uniform(-x, 0)
        b = a + rng.uniform(2.5, max(2.6, x))
        z = ground_floor * 0.72
        slope = np.array(
            [
                [a, -y - reach, z - 0.35],
                [b, -y - reach, z - 0.35],
                [b, -y, z + 0.2],
                [a, -y, z + 0.2],
            ]
        )
        parts.append(quads(slope, Layer.AWNING))
    if rng.uniform() < 0.5:
        cx = -x + bay / 2
        parts.append(block((cx - 0.8, cx + 0.8), (-y - 0.9, -y), (-0.4, 0.18), Layer.CONCRETE))
    return parts


def wall(length: float, height: float, layer: int, tint: Array) -> Mesh:
    """A garden wall or fence along x."""
    return block((-length / 2, length / 2), (-0.09, 0.09), (-0.5, height), layer, tint).labelled(
        Semantic.FENCE
    )
