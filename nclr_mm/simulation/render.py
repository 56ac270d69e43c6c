"""Ray casting: one scene, every sensor, with Embree (embreex)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from .layout import GROUND_LAYER, GROUND_SEMANTIC
from .lighting import Light
from .mesh import Array, Mesh
from .scene import Scene
from .sensors import Camera, Lidar
from .textures import Layer


@dataclass
class Picture:
    """A camera image (H,W,3) uint8 BGR, with the class (H,W) uint8, instance (H,W) int32 and
    range (H,W) float32 m (0 for sky) of each pixel."""

    image: Array
    semantic: Array
    instance: Array
    distance: Array


@dataclass
class Sweep:
    """A LiDAR turn of n returns: points (n,3) in the sensor's frame, m; reflectivity (n,) 0..1;
    ring (n,), class (n,) and instance (n,)."""

    points: Array
    reflectivity: Array
    ring: Array
    semantic: Array
    instance: Array


class Caster:
    """Rays against a set of triangles. Coordinates are shifted to ``centre`` for float32's sake."""

    def __init__(self, corners: Array, centre: Array) -> None:
        self.centre = np.asarray(centre, np.float64)
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(
            self._scene, np.ascontiguousarray(corners - self.centre, np.float32)
        )

    def cast(self, origin: Array, directions: Array) -> dict[str, Array]:
        """First hits of rays from one origin (3,) along unit directions (n,3) float32.

        Returns ``tfar`` (n,) m, ``primID`` (n,) (-1 for none) and barycentric ``u``, ``v``.
        """
        return self._scene.run(self._origins(origin, directions), directions, output=True)

    def blocked(self, origins: Array, directions: Array, far: float = 400.0) -> Array:
        """Whether rays from points (n,3), relative to ``centre``, meet anything: (n,) bool."""
        limits = np.full(len(origins), far, np.float32)
        return self._scene.run(origins, directions, limits, query='OCCLUDED') >= 0

    def _origins(self, origin: Array, directions: Array) -> Array:
        start = (np.asarray(origin) - self.centre).astype(np.float32)
        return np.ascontiguousarray(np.broadcast_to(start, directions.shape))


class Frame:
    """A scene at one instant, ready to be seen by any sensor."""

    def __init__(self, scene: Scene, meshes: list[Mesh], centre: Array) -> None:
        self.scene = scene
        corners = np.concatenate([m.corners for m in meshes])
        self.caster = Caster(corners, centre)
        edge1 = corners[:, 1] - corners[:, 0]
        edge2 = corners[:, 2] - corners[:, 0]
        normal = np.cross(edge1, edge2)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
        uv = np.concatenate([m.uv for m in meshes])
        tint = np.concatenate([m.tint for m in meshes])
        # One row a face: uv of a corner and along both edges, normal, tint. One gather gets all.
        self._faces = np.concatenate(
            [uv[:, 0], uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0], normal, tint], 1
        ).astype(np.float32)
        self._layer = np.concatenate([m.layer for m in meshes])
        self._semantic = np.concatenate([m.semantic for m in meshes])
        self._instance = np.concatenate([m.instance for m in meshes])

    def _surface(
        self, hit: dict[str, Array], which: Array, origin: Array, directions: Array
    ) -> tuple[Array, Array, Array, Array, Array]:
        """uv (n,2), layer, semantic, face rows (n,12) and hit points relative to the centre."""
        prim = hit['primID'][which]
        rows = np.take(self._faces, prim, axis=0)
        u, v = hit['u'][which], hit['v'][which]
        uv = rows[:, 0:2] + u[:, None] * rows[:, 2:4] + v[:, None] * rows[:, 4:6]
        layer = self._layer[prim]
        semantic = self._semantic[prim]
        start = (origin - self.caster.centre).astype(np.float32)
        points = start + hit['tfar'][which][:, None] * directions[which]
        ground = np.flatnonzero(layer == Layer.GROUND)
        xy = points[ground, :2] + self.caster.centre[:2].astype(np.float32)
        codes = self.scene.plan.ground_codes(xy[:, 0], xy[:, 1])
        layer[ground] = GROUND_LAYER[codes]
        semantic[ground] = GROUND_SEMANTIC[codes]
        uv[ground] = xy
        return uv, layer, semantic, rows, points

    def photograph(self, camera: Camera, pose: Array, rng: np.random.Generator) -> Picture:
        """What a camera at the 4x4 ``pose`` (camera to scene) sees."""
        directions = camera.rays @ pose[:3, :3].T.astype(np.float32)
        origin = pose[:3, 3]
        hit = self.caster.cast(origin, directions)
        seen = hit['primID'] >= 0
        which = np.flatnonzero(seen)
        uv, layer, semantic, rows, points = self._surface(hit, which, origin, directions)
        distance = hit['tfar'][which]
        normal = rows[:, 6:9]
        facing = np.einsum('ij,ij->i', normal, directions[which])
        slant = np.sqrt(np.maximum(np.abs(facing), 0.02))
        footprint = distance / (np.float32(camera.intrinsics[0, 0]) * slant)
        texel = self.scene.atlas.lookup(layer, uv, footprint)[:, :3]
        albedo = np.square(texel * np.float32(1 / 255)) * rows[:, 9:12]
        normal = normal * -np.sign(facing)[:, None]
        light = self.scene.light
        colour = np.empty((len(directions), 3), np.float32)
        colour[which] = self._shade(light, albedo, normal, points, distance)
        sky = np.flatnonzero(~seen)
        colour[sky] = light.sky_colour(directions[sky])
        shape = (camera.height, camera.width)
        classes = np.zeros(len(directions), np.uint8)
        classes[which] = semantic
        instance = np.zeros(len(directions), np.int32)
        instance[which] = self._instance[hit['primID'][which]]
        depth = np.zeros(len(directions), np.float32)
        depth[which] = distance
        return Picture(
            _develop(colour.reshape(*shape, 3), light.exposure, rng),
            classes.reshape(shape),
            instance.reshape(shape),
            depth.reshape(shape),
        )

    def _shade(
        self, light: Light, albedo: Array, normal: Array, points: Array, distance: Array
    ) -> Array:
        """Sun with cast shadows, sky light by the normal's height, light off the ground, haze."""
        up = 0.5 + 0.5 * normal[:, 2:]
        radiance = light.ambient * up + light.ground_bounce * (1 - up)
        if light.sun_colour.any():
            toward = normal @ light.sun
            lit = np.flatnonzero(toward > 0)
            start = points[lit] + np.float32(0.02) * normal[lit]
            sun = np.ascontiguousarray(np.broadcast_to(light.sun, start.shape))
            lit = lit[~self.caster.blocked(start, sun)]
            radiance[lit] += toward[lit, None] * light.sun_colour
        radiance *= albedo
        clear = np.exp(distance * np.float32(-1 / light.haze))[:, None]
        return radiance * clear + light.haze_colour * (1 - clear)

    def sweep(self, lidar: Lidar, pose: Array, rng: np.random.Generator) -> Sweep:
        """One turn of the LiDAR at the 4x4 ``pose`` (sensor to scene).

        A return is lost on glass, at random (1 %), and more often the weaker it is: strength
        falls with range squared and with the cosine of incidence.
        """
        directions = lidar.rays @ pose[:3, :3].T.astype(np.float32)
        origin = pose[:3, 3]
        hit = self.caster.cast(origin, directions)
        which = np.flatnonzero(hit['primID'] >= 0)
        uv, layer, semantic, rows, _ = self._surface(hit, which, origin, directions)
        distance = hit['tfar'][which].astype(np.float64)
        material = self.scene.atlas.lookup(layer, uv)[:, 3] / 255.0
        shade = np.where(layer < Layer.PLATE, np.sqrt(rows[:, 9:12].mean(1)), 1.0)
        cosine = np.abs(np.einsum('ij,ij->i', rows[:, 6:9], directions[which]))
        reflectivity = material * (0.25 + 0.75 * shade) * (0.2 + 0.8 * cosine)
        strength = material * np.maximum(cosine, 0.02) * (30.0 / np.maximum(distance, 5.0)) ** 2
        chance = 0.99 * (1 - np.exp(-strength / 0.012))
        keep = rng.uniform(size=len(which)) < chance
        measured = distance + rng.normal(0, lidar.range_noise, len(which))
        reflectivity *= np.exp(rng.normal(0, 0.12, len(which)))
        keep &= (measured < lidar.max_range) & (measured > lidar.min_range)
        which = which[keep]
        return Sweep(
            (lidar.rays[which] * measured[keep, None]).astype(np.float32),
            np.clip(reflectivity[keep], 0, 1).astype(np.float32),
            lidar.rings[which],
            semantic[keep],
            self._instance[hit['primID'][which]],
        )


def _develop(colour: Array, exposure: float, rng: np.random.Generator) -> Array:
    """Linear light to 8 bit: exposure, soft shoulder, gamma 2, sensor noise."""
    value = np.sqrt(np.maximum(colour, 0) * np.float32(exposure))
    value = value / np.sqrt(1 + 0.25 * value * value)
    value *= np.float32(255)
    height, width = value.shape[:2]
    grain = rng.normal(0, 2.2, (64, width + 64)).astype(np.float32)
    for row in range(0, height, 64):
        shift = int(rng.integers(64))
        piece = value[row : row + 64]
        piece += grain[: len(piece), shift : shift + width, None]
    return np.clip(value, 0, 255).astype(np.uint8)


def frame_at(scene: Scene, index: int) -> Frame:
    """The scene at key frame ``index``: moving objects are put in their places."""
    time = float(scene.times[index])
    moving = [t.mesh.transformed(t.pose(scene.plan, time)) for t in scene.things if t.moving]
    return Frame(scene, [scene.static, *moving], scene.ego_pose(index)[:3, 3])
