"""Triangle soups with texture coordinates, and the few shapes that everything is built from.

Frames: x forward, y left, z up, metres. Texture coordinates are metres on the surface, so that one
texture has one scale wherever it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import trimesh

Array = npt.NDArray[Any]


@dataclass
class Mesh:
    """F triangles: corners (F,3,3) m, uv (F,3,2) m, layer (F,), tint (F,3) linear BGR,
    semantic (F,), instance (F,)."""

    corners: Array
    uv: Array
    layer: Array
    tint: Array
    semantic: Array
    instance: Array

    def __len__(self) -> int:
        return len(self.corners)

    def transformed(self, pose: Array) -> Mesh:
        """The mesh moved by a 4x4 rigid motion."""
        corners = self.corners @ pose[:3, :3].T.astype(np.float32) + pose[:3, 3].astype(np.float32)
        return replace(self, corners=corners)

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        return replace(self, corners=self.corners + np.array([x, y, z], np.float32))

    def turned(self, yaw: float) -> Mesh:
        return self.transformed(pose_of(0.0, 0.0, 0.0, yaw))

    def labelled(self, semantic: int, instance: int = 0) -> Mesh:
        """The same faces with one class and one instance."""
        count = len(self)
        return replace(
            self,
            semantic=np.full(count, semantic, np.uint8),
            instance=np.full(count, instance, np.int32),
        )

    def tinted(self, tint: Array) -> Mesh:
        return replace(self, tint=self.tint * np.asarray(tint, np.float32))

    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest corner, (3,) each."""
        flat = self.corners.reshape(-1, 3)
        return flat.min(0), flat.max(0)


def pose_of(x: float, y: float, z: float, yaw: float) -> Array:
    """4x4 pose: turn by ``yaw`` (rad) about z, then shift."""
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:3, 3] = x, y, z
    return pose


def rgb(red: float, green: float, blue: float) -> Array:
    """A screen colour (0..255) as the linear BGR tint that shading multiplies (gamma 2)."""
    return (np.array([blue, green, red], np.float32) / 255.0) ** 2


WHITE = np.ones(3, np.float32)


def join(meshes: Iterable[Mesh]) -> Mesh:
    """One mesh of all; needs at least one."""
    parts = list(meshes)
    return Mesh(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ('corners', 'uv', 'layer', 'tint', 'semantic', 'instance')
        )
    )


def soup(corners: Array, uv: Array, layer: int, tint: Array = WHITE) -> Mesh:
    """A mesh of one material."""
    count = len(corners)
    return Mesh(
        corners=np.ascontiguousarray(corners, np.float32),
        uv=np.ascontiguousarray(uv, np.float32),
        layer=np.full(count, layer, np.int16),
        tint=np.tile(np.asarray(tint, np.float32), (count, 1)),
        semantic=np.zeros(count, np.uint8),
        instance=np.zeros(count, np.int32),
    )


def quads(
    corners: Array, layer: int, tint: Array = WHITE, uv_offset: Sequence[float] = (0.0, 0.0)
) -> Mesh:
    """Q quads (Q,4,3), corners in order round the face; u runs along the first edge, v along the
    last one, both in metres."""
    corners = np.asarray(corners, np.float32).reshape(-1, 4, 3)
    width = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    height = np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1)
    zero = np.zeros_like(width)
    uv = np.stack(
        [
            np.stack([zero, zero], 1),
            np.stack([width, zero], 1),
            np.stack([width, height], 1),
            np.stack([zero, height], 1),
        ],
        1,
    ) + np.asarray(uv_offset, np.float32)
    index = np.array([[0, 1, 2], [0, 2, 3]])
    return soup(corners[:, index].reshape(-1, 3, 3), uv[:, index].reshape(-1, 3, 2), layer, tint)


def frustum(low: Sequence[float], high: Sequence[float], z0: float, z1: float) -> dict[str, Array]:
    """Six quads of a block whose bottom rectangle is ``low`` and top ``high`` (x0,x1,y0,y1).

    Keys: front (+x), back, left (+y), right, top, bottom; each (4,3), seen from outside
    counter-clockwise, beginning at its lower left corner.
    """
    ax0, ax1, ay0, ay1 = low
    bx0, bx1, by0, by1 = high
    p = np.array(
        [
            [ax0, ay0, z0],
            [ax1, ay0, z0],
            [ax1, ay1, z0],
            [ax0, ay1, z0],
            [bx0, by0, z1],
            [bx1, by0, z1],
            [bx1, by1, z1],
            [bx0, by1, z1],
        ],
        np.float32,
    )
    return {
        'front': p[[1, 2, 6, 5]],
        'back': p[[3, 0, 4, 7]],
        'left': p[[2, 3, 7, 6]],
        'right': p[[0, 1, 5, 4]],
        'top': p[[4, 5, 6, 7]],
        'bottom': p[[1, 0, 3, 2]],
    }


def block(
    x: Sequence[float], y: Sequence[float], z: Sequence[float], layer: int, tint: Array = WHITE
) -> Mesh:
    """A box between two values on each axis."""
    faces = frustum((x[0], x[1], y[0], y[1]), (x[0], x[1], y[0], y[1]), z[0], z[1])
    return quads(np.stack(list(faces.values())), layer, tint)


def inset(quad: Array, u: Sequence[float], v: Sequence[float], lift: float = 0.01) -> Array:
    """The part of a quad between fractions u and v, lifted off it along its outer normal."""
    q = np.asarray(quad, np.float64)

    def at(a: float, b: float) -> Array:
        return (1 - a) * (1 - b) * q[0] + a * (1 - b) * q[1] + a * b * q[2] + (1 - a) * b * q[3]

    normal = np.cross(q[1] - q[0], q[3] - q[0])
    normal /= np.linalg.norm(normal)
    part = np.stack([at(u[0], v[0]), at(u[1], v[0]), at(u[1], v[1]), at(u[0], v[1])])
    return (part + lift * normal).astype(np.float32)


@cache
def _unit_cylinder(sections: int) -> Array:
    mesh = trimesh.creation.cylinder(radius=1.0, height=1.0, sections=sections)
    return np.asarray(mesh.triangles, np.float32)


@cache
def _unit_sphere(subdivisions: int) -> Array:
    return np.asarray(trimesh.creation.icosphere(subdivisions, 1.0).triangles, np.float32)


def _wrap(corners: Array) -> Array:
    """Texture coordinates for round things: angle times 1 m, and height."""
    middle = corners.mean(1)
    angle = np.arctan2(middle[:, 1], middle[:, 0])[:, None]
    return np.stack([np.broadcast_to(angle, corners.shape[:2]), corners[..., 2]], -1)


def cylinder(
    radius: float,
    height: float,
    layer: int,
    tint: Array = WHITE,
    sections: int = 8,
    axis: str = 'z',
    top_radius: float | None = None,
) -> Mesh:
    """A cylinder or cone stump from z = 0 to ``height``; ``axis`` y lays it down, centred."""
    corners = _unit_cylinder(sections).copy()
    top = radius if top_radius is None else top_radius
    scale = np.where(corners[..., 2:] > 0, top, radius)
    corners[..., :2] *= scale
    corners[..., 2] = (corners[..., 2] + 0.5) * height
    uv = _wrap(corners)
    if axis == 'y':
        corners[..., 2] -= height / 2
        corners = corners[..., [0, 2, 1]][:, ::-1]
        uv = uv[:, ::-1]
    return soup(corners, uv, layer, tint)


def ellipsoid(
    radii: Sequence[float], layer: int, tint: Array = WHITE, subdivisions: int = 1
) -> Mesh:
    """An ellipsoid about the origin."""
    corners = _unit_sphere(subdivisions) * np.asarray(radii, np.float32)
    return soup(corners, _wrap(corners), layer, tint)


def strut(
    start: Sequence[float],
    end: Sequence[float],
    radius: float,
    layer: int,
    tint: Array = WHITE,
    sections: int = 6,
) -> Mesh:
    """A thin cylinder between two points."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(b - a))
    pose = np.eye(4)
    pose[:3, :3] = trimesh.geometry.align_vectors([0, 0, 1], (b - a) / length)[:3, :3]
    pose[:3, 3] = a
    return cylinder(radius, length, layer, tint, sections).transformed(pose)
