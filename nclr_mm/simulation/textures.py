"""Procedural textures, baked once a scene into one mip-mapped atlas.

A texture is a tile of ``TILE`` x ``TILE`` texels of blue, green, red (8 bit, gamma 2) and LiDAR
reflectance (255 is a retro-reflector, 0 is glass: it sends nothing back). Cameras and LiDAR read
the same tile, so what is painted differently is also measured differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
TILE = 256
NUM_FACADES = 6
NUM_FOLIAGE = 3
NUM_SIGNS = 6


class Layer(IntEnum):
    """Which texture a face uses. Facades, foliage and signs have several each."""

    GROUND = 0  # resolved a pixel at a time through the ground raster
    ASPHALT = 1
    ASPHALT_PATCH = 2
    PARKING = 3
    MARK = 4
    MARK_YELLOW = 5
    SIDEWALK = 6
    KERB = 7
    TERRAIN = 8
    SOIL = 9
    PLAZA = 10
    MANHOLE = 11
    PAINT = 12
    GLASS = 13
    TYRE = 14
    PLASTIC = 15
    METAL = 16
    LAMP = 17
    PLATE = 18
    BARK = 19
    CLOTH = 20
    SKIN = 21
    ROOF_TILES = 22
    ROOF_FLAT = 23
    BRICK_WALL = 24
    FENCE = 25
    BARRIER = 26
    CONE = 27
    CONCRETE = 28
    BUS_SIDE = 29
    TRUCK_SIDE = 30
    AWNING = 31
    FOLIAGE = 32
    SIGN = FOLIAGE + NUM_FOLIAGE
    FACADE = SIGN + NUM_SIGNS
    SHOPFRONT = FACADE + NUM_FACADES


NUM_LAYERS = int(Layer.SHOPFRONT) + NUM_FACADES


@dataclass
class Facade:
    """Sizes of one facade style in metres: a tile holds four bays and three storeys."""

    bay: float
    storey: float
    ground_floor: float


@dataclass
class Atlas:
    """All textures of a scene.

    texels (K,4) uint8 of every mip level one after the other; ``offsets`` (levels,) begin them;
    ``period`` (layers,2) is the size of a tile in metres.
    """

    texels: Array
    offsets: Array
    period: Array
    facades: list[Facade]

    def lookup(self, layer: Array, u: Array, v: Array, footprint: Array | None = None) -> Array:
        """Texels (n,4) uint8.

        Args:
            layer: (n,) texture indices.
            u, v: (n,) metres on the surface.
            footprint: (n,) metres that one pixel covers there; None reads the finest level.
        """
        size: Array | int = TILE
        start: Array | int = 0
        inverse = (1.0 / self.period).astype(np.float32)
        if footprint is not None:
            texels = footprint * (TILE * inverse.max(1))[layer]
            level = np.log2(np.maximum(texels, 1.0)).astype(np.int32)
            np.minimum(level, len(self.offsets) - 1, out=level)
            size = np.right_shift(TILE, level)
            start = self.offsets[level]
        across = u * inverse[:, 0][layer]
        up = v * inverse[:, 1][layer]
        column = ((across - np.floor(across)) * size).astype(np.int32)
        row = ((up - np.floor(up)) * size).astype(np.int32)
        # A fraction just under one may round up to the size itself.
        np.minimum(column, size - 1, out=column)
        np.minimum(row, size - 1, out=row)
        index = (layer.astype(np.int32) * size + row) * size + column + start
        return self._words[index].view(np.uint8).reshape(-1, 4)

    @cached_property
    def _words(self) -> Array:
        """Texels as 32-bit words: one gather instead of four."""
        return self.texels.view(np.uint32)[:, 0]


class Brush:
    """Random tiles and colours of one scene."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None]) * TILE
        frequency[0, 0] = 1.0
        self._fields = []
        for beta in (0.2, 0.7, 1.2, 1.7):
            white = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
            field = np.fft.irfft2(white / frequency**beta, s=(TILE, TILE))
            self._fields.append((field / field.std()).astype(np.float32))

    def noise(self, roughness: int) -> Array:
        """(TILE,TILE) unit-variance noise that tiles; 0 is the finest, 3 the smoothest."""
        shift = self.rng.integers(0, TILE, 2)
        return np.roll(self._fields[roughness], shift, (0, 1))

    def colour(self, low: tuple[int, int, int], high: tuple[int, int, int]) -> Array:
        """Random BGR between two RGB colours, channels tied together with a little freedom."""
        mix = self.rng.uniform() + self.rng.normal(0, 0.08, 3)
        value = np.array(low) + np.clip(mix, 0, 1) * (np.array(high) - np.array(low))
        return value[::-1].astype(np.float32)

    def plain(
        self, colour: Array, reflectance: float, grain: float = 5.0, blotch: float = 5.0
    ) -> Array:
        """(TILE,TILE,4) float tile of one colour with fine and coarse noise."""
        tile = np.empty((TILE, TILE, 4), np.float32)
        tile[..., :3] = colour
        tile[..., :3] += (grain * self.noise(0) + blotch * self.noise(2))[..., None]
        tile[..., 3] = 255 * reflectance * np.clip(1 + 0.15 * self.noise(1), 0.3, 2)
        return tile

    def bricks(self, tile: Array, rows: int, columns: int, joint: Array, contrast: float) -> None:
        """Draws courses of bricks with mortar joints into a tile, each brick a little different."""
        row = np.arange(TILE) * rows // TILE
        offset = (np.arange(TILE)[None] + (row[:, None] % 2) * (TILE // columns // 2)) % TILE
        column = offset * columns // TILE
        shade = self.rng.normal(0, contrast, (rows, columns))
        tile[..., :3] += shade[row[:, None], column][..., None]
        inside_row = (np.arange(TILE) * rows % TILE) < rows
        inside_column = (offset * columns % TILE) < columns
        line = inside_row[:, None] | inside_column
        tile[..., :3][line] = joint


def _window(
    brush: Brush, tile: Array, box: tuple[int, int, int, int], frame: Array, panes: tuple[int, int]
) -> None:
    """A window with frame, panes, sill, and curtains or a reflection of the sky."""
    rng = brush.rng
    x0, x1, y0, y1 = box
    tile[y0:y1, x0:x1, :3] = frame
    tile[y0:y1, x0:x1, 3] = 110
    tile[max(y0 - 3, 0) : y0, max(x0 - 2, 0) : x1 + 2, :3] = frame * 0.8
    kind = rng.uniform()
    dark = rng.uniform(15, 60)
    lit = np.array([90, 190, 235], np.float32) * rng.uniform(0.6, 1.0)
    for i in range(panes[0]):
        for j in range(panes[1]):
            a0 = x0 + 2 + i * (x1 - x0 - 2) // panes[0]
            a1 = x0 + (i + 1) * (x1 - x0 - 2) // panes[0]
            b0 = y0 + 2 + j * (y1 - y0 - 2) // panes[1]
            b1 = y0 + (j + 1) * (y1 - y0 - 2) // panes[1]
            if a1 <= a0 or b1 <= b0:
                continue
            ramp = np.linspace(0.0, 1.0, b1 - b0, dtype=np.float32)[:, None, None]
            glass = dark + ramp * np.array([95, 80, 65], np.float32) * rng.uniform(0.3, 1.0)
            if kind > 0.9:
                glass = np.broadcast_to(lit, (b1 - b0, 1, 3)) - ramp * 20
            tile[b0:b1, a0:a1, :3] = glass
            tile[b0:b1, a0:a1, 3] = 0
    if 0.55 < kind < 0.9:
        curtain = np.float32(rng.uniform(130, 225))
        middle = y0 + int((y1 - y0) * rng.uniform(0.2, 0.8))
        tile[middle : y1 - 2, x0 + 2 : x1 - 2, :3] = curtain
        tile[middle : y1 - 2, x0 + 2 : x1 - 2, 3] = 25


def _wall(brush: Brush, kind: int) -> Array:
    """Bare wall: brick, plaster, stone or panels."""
    rng = brush.rng
    if kind == 0:
        tile = brush.plain(brush.colour((120, 50, 40), (190, 120, 85)), 0.28, 6, 6)
        joint = brush.colour((150, 140, 130), (205, 200, 190))
        brush.bricks(tile, 64, 24, joint, 13)
    elif kind == 1:
        pick = rng.integers(5)
        colours = (
            ((205, 190, 150), (245, 235, 205)),
            ((190, 150, 110), (235, 200, 150)),
            ((150, 165, 175), (215, 222, 228)),
            ((180, 120, 100), (225, 165, 140)),
            ((150, 175, 140), (205, 220, 190)),
        )
        tile = brush.plain(brush.colour(*colours[pick]), 0.45, 3, 7)
    elif kind == 2:
        tile = brush.plain(brush.colour((120, 110, 95), (190, 180, 160)), 0.33, 6, 8)
        brush.bricks(tile, 20, 10, brush.colour((80, 75, 70), (120, 115, 105)), 12)
    else:
        tile = brush.plain(brush.colour((90, 95, 105), (190, 195, 200)), 0.38, 3, 4)
        brush.bricks(tile, 12, 8, brush.colour((50, 52, 55), (90, 92, 95)), 4)
    # Rain streaks darken walls from the top of a storey downwards.
    streak = cv2.GaussianBlur(brush.noise(0), (1, 63), 0)
    tile[..., :3] += 10 * (streak / (streak.std() + 1e-6))[..., None]
    return tile


def _facades(brush: Brush) -> tuple[list[Array], list[Array], list[Facade]]:
    """Upper storeys (4 bays x 3 storeys) and ground floors (4 bays) of each style."""
    rng = brush.rng
    upper, ground, sizes = [], [], []
    for _ in range(NUM_FACADES):
        kind = int(rng.choice(4, p=[0.3, 0.35, 0.15, 0.2]))
        wall = _wall(brush, kind)
        frame = brush.colour((40, 40, 40), (240, 240, 235))
        if rng.uniform() < 0.5:
            frame = np.float32(rng.uniform(215, 245)) * np.ones(3, np.float32)
        tile = wall.copy()
        panes = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        bay, storey = TILE / 4, TILE / 3
        width = rng.uniform(0.3, 0.8 if kind == 3 else 0.6)
        low, high = rng.uniform(0.15, 0.32), rng.uniform(0.72, 0.9)
        for i in range(4):
            for j in range(3):
                box = (
                    int((i + 0.5 - width / 2) * bay),
                    int((i + 0.5 + width / 2) * bay),
                    int((j + low) * storey),
                    int((j + high) * storey),
                )
                _window(brush, tile, box, frame, panes)
        if rng.uniform() < 0.5:
            band = brush.colour((110, 105, 100), (235, 230, 220))
            for j in range(3):
                tile[int(j * storey) : int(j * storey) + 5, :, :3] = band
        upper.append(tile)
        ground.append(_shopfront(brush, wall, frame, rng.uniform() < 0.55))
        sizes.append(Facade(rng.uniform(2.4, 4.2), rng.uniform(2.8, 3.6), rng.uniform(3.2, 4.6)))
    return upper, ground, sizes


def _shopfront(brush: Brush, wall: Array, frame: Array, shop: bool) -> Array:
    """Ground floor: shop windows under a sign, or windows and front doors."""
    rng = brush.rng
    tile = wall.copy()
    bay = TILE // 4
    tile[:12, :, :3] = brush.colour((60, 60, 60), (140, 135, 130))  # plinth
    door = int(rng.integers(4))
    for i in range(4):
        x0 = i * bay
        if i == door or rng.uniform() < 0.15:
            colour = brush.colour((50, 25, 20), (160, 120, 90))
            if rng.uniform() < 0.5:
                colour = rng.uniform(20, 170, 3).astype(np.float32)
            tile[4:175, x0 + 14 : x0 + 50, :3] = frame
            tile[4:170, x0 + 18 : x0 + 46, :3] = colour
            tile[4:170, x0 + 18 : x0 + 46, 3] = 70
            tile[95:155, x0 + 24 : x0 + 40, :3] = rng.uniform(20, 90)
            tile[95:155, x0 + 24 : x0 + 40, 3] = 0
        elif shop:
            _window(brush, tile, (x0 + 4, x0 + bay - 3, 32, 175), frame, (1, 1))
            goods = rng.uniform(20, 230, (5, 6, 3)).astype(np.float32)
            patch = cv2.resize(goods, (bay - 15, 60), interpolation=cv2.INTER_NEAREST)
            tile[40:100, x0 + 8 : x0 + bay - 7, :3] *= 0.5
            tile[40:100, x0 + 8 : x0 + bay - 7, :3] += 0.5 * patch
        else:
            _window(brush, tile, (x0 + 12, x0 + bay - 12, 70, 175), frame, (2, 2))
    if shop:
        band = rng.uniform(10, 220, 3).astype(np.float32)
        tile[190:232, :, :3] = band
        tile[190:232, :, 3] = 130
        ink = tuple(float(c) for c in (255 - band))
        text = ''.join(rng.choice(list('ABCDEFGHIKLMNOPRSTU'), 7))
        sign = np.ascontiguousarray(tile[190:232, :, :3][::-1])
        cv2.putText(sign, text, (14, 33), cv2.FONT_HERSHEY_DUPLEX, 1.2, ink, 3)
        tile[190:232, :, :3] = sign[::-1]
    return tile


def _foliage(brush: Brush, low: tuple[int, int, int], high: tuple[int, int, int]) -> Array:
    base = brush.colour(low, high)
    tile = brush.plain(base, 0.42, 16, 14)
    tile[..., :3] *= np.clip(0.85 + 0.4 * brush.noise(1), 0.25, 1.7)[..., None]
    return tile


def _sign(brush: Brush, kind: int) -> Array:
    """Traffic signs: ring, blue disc, diamond, stop, name board, arrow board."""
    tile = np.empty((TILE, TILE, 4), np.float32)
    image = np.full((TILE, TILE, 3), 235, np.uint8)
    c = TILE // 2
    if kind == 0:
        cv2.circle(image, (c, c), c - 4, (30, 30, 205), 36)
        cv2.putText(
            image,
            str(brush.rng.choice([30, 40, 50, 60])),
            (58, 160),
            cv2.FONT_HERSHEY_DUPLEX,
            3.4,
            (20, 20, 20),
            10,
        )
    elif kind == 1:
        image[:] = (190, 90, 20)
        cv2.arrowedLine(image, (c, 220), (c, 40), (245, 245, 245), 28, tipLength=0.4)
    elif kind == 2:
        image[:] = (245, 245, 245)
        cv2.rectangle(image, (28, 28), (228, 228), (20, 190, 245), -1)
    elif kind == 3:
        image[:] = (35, 30, 190)
        cv2.putText(image, 'STOP', (18, 160), cv2.FONT_HERSHEY_DUPLEX, 2.9, (245, 245, 245), 12)
    elif kind == 4:
        image[:] = (70, 120, 20) if brush.rng.uniform() < 0.5 else (160, 70, 20)
        for y in (90, 190):
            text = ''.join(brush.rng.choice(list('AEIOULMNRST'), 6))
            cv2.putText(image, text, (16, y), cv2.FONT_HERSHEY_DUPLEX, 1.8, (250, 250, 250), 7)
    else:
        image[:] = (20, 180, 235)
        for x in range(-TILE, TILE, 80):
            cv2.line(image, (x, TILE), (x + TILE, 0), (20, 20, 20), 28)
    tile[..., :3] = image[::-1]
    tile[..., 3] = 250
    return tile


def _bus_side(brush: Brush) -> Array:
    rng = brush.rng
    body = rng.uniform(30, 230, 3).astype(np.float32)
    tile = brush.plain(body, 0.5, 2, 2)
    tile[: TILE // 6, :, :3] = body * 0.5
    tile[100:112, :, :3] = 255 - body
    for i in range(6):
        x0 = 6 + i * 42
        if i in (1, 4):
            _window(brush, tile, (x0, x0 + 36, 22, 215), np.full(3, 30, np.float32), (2, 1))
        else:
            _window(brush, tile, (x0, x0 + 38, 125, 215), np.full(3, 25, np.float32), (1, 1))
    return tile


def _truck_side(brush: Brush) -> Array:
    rng = brush.rng
    body = rng.uniform(60, 245, 3).astype(np.float32)
    tile = brush.plain(body, 0.55, 2, 3)
    tile[:, ::16, :3] *= 0.85
    centre = (int(rng.integers(60, 200)), int(rng.integers(90, 170)))
    logo = np.ascontiguousarray(tile[..., :3])
    ink = tuple(float(c) for c in rng.uniform(0, 255, 3))
    cv2.circle(logo, centre, int(rng.integers(30, 60)), ink, -1)
    cv2.rectangle(logo, (0, 30), (TILE, 55), tuple(float(c) for c in rng.uniform(0, 255, 3)), -1)
    tile[..., :3] = logo
    return tile


def _stripes(brush: Brush, a: Array, b: Array, count: int, slanted: bool) -> Array:
    tile = brush.plain(a, 0.6, 3, 3)
    x = np.arange(TILE)[None] + (np.arange(TILE)[:, None] if slanted else 0)
    tile[..., :3] = np.where((x * count // TILE % 2 == 0)[..., None], tile[..., :3], b)
    return tile


def _fence(brush: Brush) -> Array:
    tile = brush.plain(brush.colour((70, 50, 35), (200, 190, 175)), 0.35, 8, 8)
    tile[:, ::16, :3] *= 0.45
    tile[:, 1::16, :3] *= 0.7
    tile[..., :3] += brush.rng.normal(0, 12, (1, 16)).repeat(16, 1)[..., None]
    return tile


def _ground_layers(brush: Brush) -> dict[int, tuple[Array, tuple[float, float]]]:
    rng = brush.rng
    grey = rng.uniform(62, 125)
    asphalt = np.array([grey + rng.uniform(-3, 6), grey, grey + rng.uniform(-4, 4)], np.float32)
    sidewalk = brush.plain(brush.colour((135, 128, 118), (200, 195, 185)), 0.22, 6, 6)
    if rng.uniform() < 0.75:
        rows = int(rng.choice([8, 12, 20]))
        brush.bricks(sidewalk, rows, rows, sidewalk[0, 0, :3] * 0.62, 8)
    if rng.uniform() < 0.2:
        sidewalk[..., 2] += 25
    plaza = brush.plain(brush.colour((120, 115, 110), (195, 180, 160)), 0.25, 7, 8)
    if rng.uniform() < 0.6:
        brush.bricks(plaza, 16, 16, plaza[0, 0, :3] * 0.7, 12)
    if rng.uniform() < 0.75:
        grass = _foliage(brush, (58, 82, 30), (125, 140, 62))
    else:
        grass = brush.plain(brush.colour((120, 100, 70), (185, 165, 125)), 0.25, 12, 14)
    grass[..., 3] *= 0.75
    manhole = brush.plain(np.full(3, 62, np.float32), 0.1, 10, 4)
    manhole[::12, :, :3] *= 0.5
    manhole[:, ::12, :3] *= 0.5
    worn = np.clip(1.05 - 0.16 * np.abs(brush.noise(1)), 0.5, 1.1)[..., None]
    mark = brush.plain(np.full(3, rng.uniform(195, 240), np.float32), 0.55, 8, 8) * worn
    yellow = brush.plain(np.array([50, 165, 225], np.float32), 0.5, 8, 8) * worn
    return {
        Layer.ASPHALT: (brush.plain(asphalt, 0.10, 9, 5), (5.0, 5.0)),
        Layer.ASPHALT_PATCH: (brush.plain(asphalt * rng.uniform(0.6, 0.8), 0.07, 8, 4), (4.0, 4.0)),
        Layer.PARKING: (brush.plain(asphalt * rng.uniform(0.85, 1.2), 0.12, 10, 6), (5.0, 5.0)),
        Layer.MARK: (mark, (3.0, 3.0)),
        Layer.MARK_YELLOW: (yellow, (3.0, 3.0)),
        Layer.SIDEWALK: (sidewalk, (4.0, 4.0)),
        Layer.KERB: (brush.plain(brush.colour((140, 138, 132), (205, 200, 195)), 0.3), (2.0, 2.0)),
        Layer.TERRAIN: (grass, (5.0, 5.0)),
        Layer.SOIL: (brush.plain(brush.colour((95, 75, 50), (150, 125, 95)), 0.2, 12, 12), (4, 4)),
        Layer.PLAZA: (plaza, (5.0, 5.0)),
        Layer.MANHOLE: (manhole, (1.0, 1.0)),
    }


def bake(rng: np.random.Generator) -> Atlas:
    """All textures of one scene, with colours and styles of its own."""
    brush = Brush(rng)
    plain = brush.plain
    layers = _ground_layers(brush)
    white = np.full(3, 250, np.float32)
    roof = brush.colour((95, 45, 35), (175, 100, 75))
    if rng.uniform() < 0.4:
        roof = brush.colour((50, 52, 58), (110, 110, 115))
    tiles = plain(roof, 0.3, 6, 8)
    brush.bricks(tiles, 24, 24, roof * 0.6, 9)
    brick = _wall(brush, int(rng.choice([0, 2])))
    upper, ground, sizes = _facades(brush)
    layers |= {
        Layer.GROUND: (plain(white, 0.3), (1.0, 1.0)),
        Layer.PAINT: (plain(white, 0.5, 1.5, 2), (2.0, 2.0)),
        Layer.GLASS: (plain(np.full(3, 48, np.float32), 0.0, 2, 14), (2.5, 2.5)),
        Layer.TYRE: (plain(np.full(3, 38, np.float32), 0.06, 5, 3), (1.0, 1.0)),
        Layer.PLASTIC: (plain(white, 0.2, 3, 3), (1.0, 1.0)),
        Layer.METAL: (plain(white, 0.45, 4, 6), (1.5, 1.5)),
        Layer.LAMP: (plain(white, 0.8, 2, 2), (0.5, 0.5)),
        Layer.PLATE: (plain(white, 1.0, 8, 2), (0.5, 0.5)),
        Layer.BARK: (plain(brush.colour((70, 55, 40), (135, 120, 100)), 0.3, 14, 8), (1.5, 1.5)),
        Layer.CLOTH: (plain(white, 0.35, 5, 10), (1.2, 1.2)),
        Layer.SKIN: (plain(np.array([130, 165, 215], np.float32), 0.45), (0.5, 0.5)),
        Layer.ROOF_TILES: (tiles, (6.0, 6.0)),
        Layer.ROOF_FLAT: (plain(brush.colour((70, 70, 70), (150, 148, 145)), 0.2), (6.0, 6.0)),
        Layer.BRICK_WALL: (brick, (5.0, 5.0)),
        Layer.FENCE: (_fence(brush), (2.5, 2.5)),
        Layer.BARRIER: (
            _stripes(brush, white, np.array([40, 40, 205], np.float32), 4, True),
            (1.6, 1.6),
        ),
        Layer.CONE: (plain(np.array([25, 95, 240], np.float32), 0.5, 4, 4), (0.5, 0.5)),
        Layer.CONCRETE: (plain(brush.colour((135, 132, 128), (190, 188, 184)), 0.3), (4.0, 4.0)),
        Layer.BUS_SIDE: (_bus_side(brush), (11.0, 2.8)),
        Layer.TRUCK_SIDE: (_truck_side(brush), (6.5, 2.6)),
        Layer.AWNING: (
            _stripes(brush, white, rng.uniform(20, 200, 3).astype(np.float32), 10, False),
            (3.0, 3.0),
        ),
    }
    seasons: list[Callable[[], tuple[tuple[int, int, int], tuple[int, int, int]]]] = [
        lambda: ((58, 82, 34), (128, 150, 66)),
        lambda: ((46, 74, 42), (100, 128, 70)),
        lambda: ((135, 92, 32), (205, 155, 62)),
    ]
    for i in range(NUM_FOLIAGE):
        season = 2 if rng.uniform() < 0.15 else int(rng.integers(2))
        layers[Layer.FOLIAGE + i] = (_foliage(brush, *seasons[season]()), (3.0, 3.0))
    for i in range(NUM_SIGNS):
        layers[Layer.SIGN + i] = (_sign(brush, i), (0.8, 0.8))
    for i, size in enumerate(sizes):
        layers[Layer.FACADE + i] = (upper[i], (4 * size.bay, 3 * size.storey))
        layers[Layer.SHOPFRONT + i] = (ground[i], (4 * size.bay, size.ground_floor))
    stack = np.stack([np.clip(layers[i][0], 0, 255).astype(np.float32) for i in range(NUM_LAYERS)])
    return _with_mips(stack, np.array([layers[i][1] for i in range(NUM_LAYERS)]), sizes)


def _with_mips(stack: Array, period: Array, facades: list[Facade]) -> Atlas:
    """Halves the tiles again and again, averaging in linear light (gamma 2)."""
    sizes = [TILE >> k for k in range(TILE.bit_length())]
    levels = [np.empty((len(stack), size, size, 4), np.uint8) for size in sizes]
    for i, tile in enumerate(stack):
        linear = tile.copy()
        linear[..., :3] *= linear[..., :3]
        for level, size in zip(levels, sizes, strict=True):
            if size < TILE:
                linear = cv2.resize(linear, (size, size), interpolation=cv2.INTER_AREA)
            level[i, ..., :3] = np.rint(np.sqrt(linear[..., :3]))
            level[i, ..., 3] = np.rint(linear[..., 3])
    flat = [level.reshape(-1, 4) for level in levels]
    offsets = np.cumsum([0] + [len(level) for level in flat[:-1]])
    return Atlas(np.concatenate(flat), offsets.astype(np.int32), period, facades)
