"""A whole scene from a seed: plan, textures, light, static mesh, objects, ego drive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .drive import Thing, drop_hit, make_traffic, travel_speed
from .furnish import Furnisher
from .layout import Plan, ground_mesh, kerb_mesh, make_plan
from .lighting import Light, make_light
from .mesh import Array, Mesh, join
from .textures import Atlas, bake

MAX_INSTANCES = 999  # a panoptic label is class * 1000 + instance


@dataclass
class Scene:
    """One simulated street. ``times`` (n,) are the key frames in seconds; ``things`` holds every
    labelled object, parked or moving, ``static`` everything that never moves, labelled objects
    included."""

    plan: Plan
    atlas: Atlas
    light: Light
    static: Mesh
    things: list[Thing]
    times: Array
    ego_speed: float
    sway: Array

    def ego_pose(self, frame: int) -> Array:
        """4x4 pose of the ego frame (ground point below the rear axle) in the scene's frame.

        The body leans with the ground and sways a little, as on springs.
        """
        plan = self.plan
        x, y, heading = plan.ego_path.at(plan.ego_start + self.ego_speed * self.times[frame])
        roll, pitch = self.sway[frame]
        lean = np.eye(4)
        lean[:3, :3] = [[1, 0, pitch], [0, 1, -roll], [-pitch, roll, 1]]
        lean[:3, :3], _ = np.linalg.qr(lean[:3, :3])
        lean[:3, :3] *= np.sign(np.diag(lean[:3, :3]))
        return plan.relief.pose(float(x), float(y), float(heading)) @ lean


def make_scene(seed: int, index: int, frames: int, interval: float) -> Scene:
    """Scene number ``index`` of a data set.

    Args:
        seed: seed of the data set.
        index: number of the scene; each is drawn independently.
        frames: number of key frames.
        interval: seconds between them.
    """
    streams = [np.random.default_rng([seed, index, k]) for k in range(6)]
    times = np.arange(frames) * interval
    speed = travel_speed(streams[0], float(times[-1]) if frames > 1 else 0.1)
    plan = make_plan(streams[1], speed * float(times[-1]))
    atlas = bake(streams[2])
    furnisher = Furnisher(streams[3], plan, atlas)
    furnisher.furnish()
    traffic = make_traffic(streams[4], plan, times, speed, len(furnisher.things) + 1)
    things = drop_hit((furnisher.things + traffic)[:MAX_INSTANCES], plan, times, speed)
    still = [t.mesh.transformed(t.pose(plan, 0.0)) for t in things if not t.moving]
    static = join([ground_mesh(plan), kerb_mesh(plan), *furnisher.meshes, *still])
    rng = streams[5]
    return Scene(
        plan,
        atlas,
        make_light(rng),
        static,
        things,
        times,
        speed,
        rng.normal(0, 0.004, (frames, 2)),
    )
