"""Sun, sky and exposure of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .mesh import Array, rgb

SKY_SIZE = (256, 1024)  # rows of elevation (0 to 90 degrees), columns of azimuth


@dataclass
class Light:
    """``sun`` (3,) points to the sun; colours are linear BGR; ``sky`` is a panorama of the upper
    half sphere, row 0 at the horizon; ``haze`` is the distance in metres at which 63 % is lost."""

    sun: Array
    sun_colour: Array
    ambient: Array
    ground_bounce: Array
    sky: Array
    haze_colour: Array
    haze: float
    exposure: float

    def sky_colour(self, direction: Array) -> Array:
        """Linear BGR (n,3) of the sky in unit directions (n,3)."""
        rows, columns = SKY_SIZE
        azimuth = np.arctan2(direction[:, 1], direction[:, 0])
        column = ((azimuth / (2 * np.pi) + 0.5) * columns).astype(np.int32) % columns
        elevation = np.clip(direction[:, 2], 0, 1)  # row is linear in the sine
        row = np.minimum((elevation * rows).astype(np.int32), rows - 1)
        return self.sky[row, column]


def make_light(rng: np.random.Generator) -> Light:
    """Clear, cloudy or overcast, high or low sun."""
    overcast = rng.uniform() < 0.3
    cover = rng.uniform(0.75, 1.0) if overcast else rng.uniform(0.0, 0.65)
    elevation = np.radians(rng.uniform(14, 68))
    azimuth = rng.uniform(-np.pi, np.pi)
    sun = np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ],
        np.float32,
    )
    warm = np.exp(-elevation / 0.35)
    sun_colour = np.array([1 - 0.45 * warm, 1 - 0.2 * warm, 1.0], np.float32)
    strength = 0.0 if overcast else rng.uniform(0.9, 1.6)
    zenith = rgb(rng.uniform(45, 100), rng.uniform(105, 150), rng.uniform(180, 230))
    horizon = rgb(rng.uniform(170, 215), rng.uniform(195, 225), rng.uniform(215, 240))
    grey = np.float32(rng.uniform(0.35, 0.8)) * np.array([1.02, 1.0, 0.97], np.float32)
    sky = _sky(rng, zenith, horizon, grey, cover, sun, sun_colour * strength)
    ambient = (1 - cover) * np.array([1.2, 1.0, 0.85], np.float32) * 0.42 + cover * grey * 0.75
    tint = 1 + rng.normal(0, 0.03, 3)
    return Light(
        sun=sun,
        sun_colour=(sun_colour * strength * tint).astype(np.float32),
        ambient=(ambient * tint).astype(np.float32),
        ground_bounce=np.full(3, 0.14, np.float32),
        sky=sky,
        haze_colour=sky[:6].mean((0, 1)),
        haze=float(rng.uniform(250, 1500)),
        exposure=float(rng.uniform(0.75, 1.25) * (1.35 if overcast else 1.0)),
    )


def _sky(
    rng: np.random.Generator,
    zenith: Array,
    horizon: Array,
    grey: Array,
    cover: float,
    sun: Array,
    sun_colour: Array,
) -> Array:
    rows, columns = SKY_SIZE
    height = ((np.arange(rows) + 0.5) / rows)[:, None]
    sky = horizon + (zenith - horizon) * (height**0.45)[..., None] * np.ones((1, columns, 1))
    cloud = np.zeros((rows, columns))
    for octave in range(6):
        cells = 4 * 2**octave
        grid = rng.standard_normal((cells, 2 * cells)).astype(np.float32)
        grid = np.concatenate([grid, grid[:, :1]], 1)  # meets itself at the seam
        cloud += cv2.resize(grid, (columns, rows), interpolation=cv2.INTER_LINEAR) * 0.6**octave
    cloud /= cloud.std()
    threshold = 2.2 - 4.2 * cover
    alpha = np.clip((cloud - threshold) * 0.9, 0, 1)[..., None] * min(1.0, 0.4 + cover)
    shade = grey * (1.15 + 0.15 * np.clip(cloud, -2, 2)[..., None])
    sky = sky * (1 - alpha) + shade * alpha
    azimuth = (np.arange(columns) + 0.5) / columns * 2 * np.pi - np.pi
    flat = np.sqrt(1 - height**2)
    toward = flat * np.cos(azimuth) * sun[0] + flat * np.sin(azimuth) * sun[1] + height * sun[2]
    glow = 2.5 * np.exp((toward - 1) * 900) + 0.35 * np.exp((toward - 1) * 25)
    return (sky + glow[..., None] * sun_colour * (1 - 0.7 * cover)).astype(np.float32)
