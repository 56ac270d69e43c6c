"""One key frame of a scene as data: pictures, sweep, ego pose, boxes with what is seen of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .drive import Thing
from .labels import Semantic
from .mesh import Array
from .render import Caster, Picture, Sweep, frame_at
from .scene import Scene
from .sensors import Camera, Rig

BOX_RANGE = 80.0  # metres from the ego vehicle within which objects get boxes


@dataclass
class View:
    """What a camera sees of an object.

    ``visible`` is the share of its whole silhouette, outside the image included, that shows;
    ``truncated`` the share outside the image; ``occluded`` the share hidden within the image.
    ``box`` is x0, y0, x1, y1 in pixels, clipped to the image.
    """

    visible: float
    truncated: float
    occluded: float
    box: tuple[float, float, float, float]


@dataclass
class Box:
    """A labelled object at one instant: ``pose`` 4x4 of the box centre in the scene's frame,
    ``size`` length, width, height in metres, ``velocity`` (3,) m/s, views by camera name."""

    instance: int
    semantic: Semantic
    moving: bool
    wheeled: bool
    pose: Array
    size: Array
    velocity: Array
    num_points: int
    views: dict[str, View]


@dataclass
class Capture:
    """Everything that the sensors give at one key frame. Poses are 4x4, to the scene's frame."""

    ego_pose: Array
    pictures: dict[str, Picture]
    sweep: Sweep
    boxes: list[Box]


class Observer:
    """Takes captures of a scene with a rig."""

    def __init__(self, scene: Scene, rig: Rig) -> None:
        self.scene = scene
        self.rig = rig
        self.cameras = [camera for camera in rig.cameras if camera.active]
        self._silhouettes: dict[int, Caster] = {}

    def capture(self, index: int, rng: np.random.Generator) -> Capture:
        """Key frame ``index``, all sensors at the same instant."""
        ego = self.scene.ego_pose(index)
        frame = frame_at(self.scene, index)
        pictures = {
            camera.name: frame.photograph(camera, ego @ camera.to_ego, rng)
            for camera in self.cameras
        }
        lidar_pose = ego @ self.rig.lidar.to_ego
        sweep = frame.sweep(self.rig.lidar, lidar_pose, rng)
        points = sweep.points @ lidar_pose[:3, :3].T + lidar_pose[:3, 3]
        boxes = []
        for thing in self.scene.things:
            x, y, _ = thing.place(float(self.scene.times[index]))
            if np.hypot(x - ego[0, 3], y - ego[1, 3]) < BOX_RANGE:
                boxes.append(self._box(thing, index, ego, points, pictures))
        return Capture(ego, pictures, sweep, boxes)

    def _box(
        self, thing: Thing, index: int, ego: Array, points: Array, pictures: dict[str, Picture]
    ) -> Box:
        stand = thing.pose(self.scene.plan, float(self.scene.times[index]))
        centre, size = thing.box
        pose = stand.copy()
        pose[:3, 3] += stand[:3, :3] @ centre
        views = {}
        for camera in self.cameras:
            view = self._view(thing, stand, camera, ego @ camera.to_ego, pictures[camera.name])
            if view is not None:
                views[camera.name] = view
        return Box(
            thing.instance,
            thing.semantic,
            thing.moving,
            thing.wheeled,
            pose,
            size,
            stand[:3, 0] * thing.speed,
            int(points_in_box(points, pose, size).sum()),
            views,
        )

    def _view(
        self, thing: Thing, stand: Array, camera: Camera, camera_pose: Array, picture: Picture
    ) -> View | None:
        to_camera = np.linalg.inv(camera_pose) @ stand
        centre, size = thing.box
        middle = to_camera[:3, :3] @ centre + to_camera[:3, 3]
        radius = float(np.linalg.norm(size)) / 2
        # No pixel is farther from the principal point than the diagonal is long.
        cone = np.hypot(camera.width, camera.height) / camera.intrinsics[0, 0]
        if np.hypot(middle[0], middle[1]) - radius > cone * (middle[2] + radius):
            return None
        corners = thing.mesh.corners.reshape(-1, 3) @ to_camera[:3, :3].T + to_camera[:3, 3]
        pixels, depth = camera.project(corners)
        pixels = pixels[depth > 0.1]
        limit = np.array([camera.width, camera.height], float)
        if len(pixels) == 0:
            return None
        low = np.clip(pixels.min(0), -limit, 2 * limit)
        high = np.clip(pixels.max(0), -limit, 2 * limit)
        inside_low, inside_high = np.clip(low, 0, limit - 1), np.clip(high, 0, limit - 1)
        if ((inside_high - inside_low) < 1).any():
            return None
        share = self._silhouette(thing, to_camera, camera, picture, low, high)
        if share is None:
            return None
        return View(*share, (*inside_low, *inside_high))

    def _silhouette(
        self,
        thing: Thing,
        to_camera: Array,
        camera: Camera,
        picture: Picture,
        low: Array,
        high: Array,
    ) -> tuple[float, float, float] | None:
        """Visible, truncated and occluded share, on a grid of about 400 rays."""
        if thing.instance not in self._silhouettes:
            self._silhouettes[thing.instance] = Caster(thing.mesh.corners, np.zeros(3))
        step = max(float(np.sqrt((high - low).prod() / 400)), 0.34)
        u, v = np.meshgrid(
            np.arange(low[0] + step / 2, high[0], step), np.arange(low[1] + step / 2, high[1], step)
        )
        u, v = u.ravel(), v.ravel()
        k = camera.intrinsics
        rays = np.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones_like(u)], -1)
        rays = rays @ to_camera[:3, :3]  # to the object's frame: R^T applied to each row
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        origin = -to_camera[:3, :3].T @ to_camera[:3, 3]
        hit = self._silhouettes[thing.instance].cast(origin, rays.astype(np.float32))
        whole = hit['primID'] >= 0
        if not whole.any():
            return None
        column, row = np.round(u[whole]).astype(int), np.round(v[whole]).astype(int)
        inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
        if not inside.any():
            return None
        shows = picture.instance[row[inside], column[inside]] == thing.instance
        return (
            float(shows.sum() / whole.sum()),
            float(1 - inside.mean()),
            float(1 - shows.mean()),
        )


def points_in_box(points: Array, pose: Array, size: Array) -> Array:
    """Which points (n,3) lie in a box with 4x4 centre ``pose`` and ``size`` l, w, h: (n,) bool."""
    reach = float(np.linalg.norm(size)) / 2
    near = np.flatnonzero((np.abs(points - pose[:3, 3]) <= reach).all(1))
    local = (points[near] - pose[:3, 3]) @ pose[:3, :3]
    inside = np.zeros(len(points), bool)
    inside[near] = (np.abs(local) <= size / 2).all(1)
    return inside
