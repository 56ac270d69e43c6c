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
    ring (n,), class (n,), instance (n,) and number of the ray (n,), see Lidar.rays."""

    points: Array
    reflectivity: Array
    ring: Array
    semantic: Array
    instance: Array
    ray: Array


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


@dataclass
class Surface:
    """Where n rays hit: one array (n,) for each quantity, since numpy is fastest on those.

    ``u``, ``v`` m on the texture; ``points`` relative to the caster's centre; ``facing`` is the
    cosine between ray and normal, negative on the face's front.
    """

    prim: Array
    u: Array
    v: Array
    layer: Array
    semantic: Array
    normal: tuple[Array, Array, Array]
    tint: tuple[Array, Array, Array]
    points: tuple[Array, Array, Array]
    distance: Array
    facing: Array


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
        faces = np.concatenate(
            [uv[:, 0], uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0], normal, tint], 1
        )
        # Twelve rows: uv of a corner and along both edges, normal, tint.
        self._faces = np.ascontiguousarray(faces.T, np.float32)
        self._layer = np.concatenate([m.layer for m in meshes])
        self._semantic = np.concatenate([m.semantic for m in meshes])
        self._instance = np.concatenate([m.instance for m in meshes])

    def _surface(
        self, hit: dict[str, Array], which: Array, origin: Array, directions: Array
    ) -> Surface:
        prim = hit['primID'][which]
        along, across, distance = (hit[name][which] for name in ('u', 'v', 'tfar'))
        faces = [np.take(row, prim) for row in self._faces]
        u = faces[0] + along * faces[2] + across * faces[4]
        v = faces[1] + along * faces[3] + across * faces[5]
        layer = self._layer[prim]
        semantic = self._semantic[prim]
        start = (origin - self.caster.centre).astype(np.float32)
        ray = [directions[:, k][which] for k in range(3)]
        x, y, z = (start[k] + distance * ray[k] for k in range(3))
        facing = faces[6] * ray[0] + faces[7] * ray[1] + faces[8] * ray[2]
        ground = np.flatnonzero(layer == Layer.GROUND)
        u[ground] = x[ground] + np.float32(self.caster.centre[0])
        v[ground] = y[ground] + np.float32(self.caster.centre[1])
        codes = self.scene.plan.ground_codes(u[ground], v[ground])
        layer[ground] = GROUND_LAYER[codes]
        semantic[ground] = GROUND_SEMANTIC[codes]
        return Surface(
            prim,
            u,
            v,
            layer,
            semantic,
            (faces[6], faces[7], faces[8]),
            (faces[9], faces[10], faces[11]),
            (x, y, z),
            distance,
            facing,
        )

    def photograph(self, camera: Camera, pose: Array, rng: np.random.Generator) -> Picture:
        """What a camera at the 4x4 ``pose`` (camera to scene) sees."""
        directions = camera.rays @ pose[:3, :3].T.astype(np.float32)
        hit = self.caster.cast(pose[:3, 3], directions)
        seen = hit['primID'] >= 0
        which = np.flatnonzero(seen)
        surface = self._surface(hit, which, pose[:3, 3], directions)
        light = self.scene.light
        sky = np.flatnonzero(~seen)
        sky_colour = light.sky_colour(directions[sky])
        lit, up = self._sunlight(light, surface)
        clear = np.exp(surface.distance * np.float32(-1 / light.haze))
        slant = np.sqrt(np.maximum(np.abs(surface.facing), 0.02))
        footprint = surface.distance / (np.float32(camera.intrinsics[0, 0]) * slant)
        texels = self.scene.atlas.lookup(surface.layer, surface.u, surface.v, footprint)
        channels = []
        for k in range(3):
            radiance = light.ground_bounce[k] + up * (light.ambient[k] - light.ground_bounce[k])
            radiance += lit * light.sun_colour[k]
            radiance *= _LINEAR[texels[:, k]]
            radiance *= surface.tint[k]
            radiance = light.haze_colour[k] + clear * (radiance - light.haze_colour[k])
            channel = np.empty(len(directions), np.float32)
            channel[which] = radiance
            channel[sky] = sky_colour[:, k]
            channels.append(channel)
        return Picture(
            _develop(channels, camera, light.exposure, rng),
            _picture(camera, which, surface.semantic),
            _picture(camera, which, self._instance[surface.prim]),
            _picture(camera, which, surface.distance),
        )

    def _sunlight(self, light: Light, surface: Surface) -> tuple[Array, Array]:
        """Cosine to the sun (0 in shadow) and share of open sky above, (n,) each."""
        side = -np.sign(surface.facing)
        nx, ny, nz = (side * n for n in surface.normal)
        up = np.float32(0.5) + np.float32(0.5) * nz
        if not light.sun_colour.any():
            return np.zeros_like(up), up
        toward = np.maximum(nx * light.sun[0] + ny * light.sun[1] + nz * light.sun[2], 0)
        faces_sun = np.flatnonzero(toward)
        start = np.empty((len(faces_sun), 3), np.float32)
        for k, (point, normal) in enumerate(zip(surface.points, (nx, ny, nz), strict=True)):
            start[:, k] = point[faces_sun] + np.float32(0.02) * normal[faces_sun]
        sun = np.ascontiguousarray(np.broadcast_to(light.sun, start.shape))
        toward[faces_sun[self.caster.blocked(start, sun)]] = 0
        return toward, up

    def sweep(self, lidar: Lidar, pose: Array, rng: np.random.Generator) -> Sweep:
        """One turn of the LiDAR at the 4x4 ``pose`` (sensor to scene).

        A return is lost on glass, at random (1 %), and more often the weaker it is: strength
        falls with range squared and with the cosine of incidence.
        """
        directions = lidar.rays @ pose[:3, :3].T.astype(np.float32)
        hit = self.caster.cast(pose[:3, 3], directions)
        which = np.flatnonzero(hit['primID'] >= 0)
        surface = self._surface(hit, which, pose[:3, 3], directions)
        distance = surface.distance.astype(np.float64)
        material = self.scene.atlas.lookup(surface.layer, surface.u, surface.v)[:, 3] / 255.0
        shade = np.where(surface.layer < Layer.PLATE, np.sqrt(sum(surface.tint) / 3), 1.0)
        cosine = np.abs(surface.facing)
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
            surface.semantic[keep],
            self._instance[surface.prim[keep]],
            which,
        )


_LINEAR = np.square(np.arange(256, dtype=np.float32) / 255)


def _picture(camera: Camera, which: Array, values: Array) -> Array:
    """Values of the pixels ``which`` in an image that is 0 elsewhere."""
    image = np.zeros(camera.height * camera.width, values.dtype)
    image[which] = values
    return image.reshape(camera.height, camera.width)


def _develop(
    channels: list[Array], camera: Camera, exposure: float, rng: np.random.Generator
) -> Array:
    """Linear light to 8 bit: exposure, soft shoulder, gamma 2, sensor noise."""
    height, width = camera.height, camera.width
    grain = rng.normal(0, 2.2, (64, width + 64)).astype(np.float32)
    shifts = rng.integers(64, size=-(-height // 64))
    noise = np.concatenate([grain[:, s : s + width] for s in shifts])[:height]
    image = np.empty((height, width, 3), np.uint8)
    for k, channel in enumerate(channels):
        light = np.maximum(channel.reshape(height, width), 0) * np.float32(exposure)
        value = np.sqrt(light / (1 + np.float32(0.25) * light)) * np.float32(255) + noise
        image[..., k] = np.clip(value, 0, 255)
    return image


def frame_at(scene: Scene, index: int) -> Frame:
    """The scene at key frame ``index``: moving objects are put in their places."""
    time = float(scene.times[index])
    moving = [t.mesh.transformed(t.pose(scene.plan, time)) for t in scene.things if t.moving]
    return Frame(scene, [scene.static, *moving], scene.ego_pose(index)[:3, 3])
