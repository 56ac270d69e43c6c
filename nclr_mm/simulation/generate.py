"""Makes whole data sets: work split over processes, nothing half-written under the final name."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .capture import Observer
from .scene import make_scene
from .writers.base import Record, Writer
from .writers.kitti import KittiWriter
from .writers.nuscenes import NuScenesWriter
from .writers.semantickitti import SemanticKittiWriter

WRITERS: dict[str, Callable[[int, int], Writer]] = {
    'nuscenes': NuScenesWriter,
    'kitti': KittiWriter,
    'semantickitti': SemanticKittiWriter,
}


FRAMES_PER_SCENE = 5


@dataclass(frozen=True)
class Job:
    """Frames ``first`` to ``last`` (excluded) of one scene of ``frames`` key frames."""

    layout: str
    root: Path
    seed: int
    scenes: int
    scene: int
    frames: int
    first: int
    last: int


def _run_job(job: Job) -> list[Record]:
    writer: Writer = WRITERS[job.layout](job.seed, job.scenes)
    scene = make_scene(job.seed, job.scene, job.frames, writer.interval)
    rig = writer.make_rig(np.random.default_rng([job.seed, job.scene, 100]))
    observer = Observer(scene, rig)
    records = []
    for frame in range(job.first, job.last):
        rng = np.random.default_rng([job.seed, job.scene, 101, frame])
        capture = observer.capture(frame, rng)
        records.append(writer.write_frame(job.root, job.scene, frame, scene, rig, capture))
    return records


def _jobs(layout: str, root: Path, seed: int, counts: list[int], workers: int) -> Iterator[Job]:
    """Whole scenes; fewer scenes than workers are cut into pieces (each piece makes its scene)."""
    pieces = max(1, -(-workers // len(counts)))
    for scene, frames in enumerate(counts):
        bounds = np.linspace(0, frames, min(pieces, frames) + 1).astype(int)
        for first, last in pairwise(bounds):
            yield Job(layout, root, seed, len(counts), scene, frames, int(first), int(last))


def scene_lengths(frames: int, scenes: int) -> list[int]:
    """Key frames of each of ``scenes`` scenes, as even as possible."""
    base, extra = divmod(frames, scenes)
    return [base + (k < extra) for k in range(scenes)]


def generate(
    out: Path,
    frames: int,
    seed: int = 0,
    layout: str = 'nuscenes',
    scenes: int | None = None,
    workers: int = 1,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Makes one data set and returns its root, ``out / layout``.

    The files depend on ``frames``, ``seed``, ``layout`` and ``scenes`` alone, not on
    the number of workers. They are written beside the final folder and renamed at the end.

    Args:
        out: folder that gets the data set.
        frames: key frames altogether.
        seed: any non-negative number.
        layout: 'nuscenes', 'kitti' or 'semantickitti'.
        scenes: number of different streets; None makes one for every five frames.
        workers: processes.
        overwrite: whether an existing data set is replaced.
        progress: whether a progress bar is shown.

    Raises:
        FileExistsError: the folder exists, is not empty, and ``overwrite`` is not set.
        ValueError: a number is out of range or the layout is unknown.
    """
    if scenes is None:
        scenes = -(-frames // FRAMES_PER_SCENE)
    for name, value, least in (
        ('frames', frames, 1),
        ('scenes', scenes, 1),
        ('workers', workers, 1),
        ('seed', seed, 0),
    ):
        if value < least:
            raise ValueError(f'simulation: {name} is {value}, expected at least {least}')
    if scenes > frames:
        raise ValueError(f'simulation: {scenes} scenes need at least as many frames, not {frames}')
    if layout not in WRITERS:
        raise ValueError(
            f'simulation: layout {layout!r} is unknown, expected one of {", ".join(WRITERS)}'
        )
    final = Path(out) / layout
    if final.exists() and (not final.is_dir() or any(final.iterdir())) and not overwrite:
        raise FileExistsError(
            f'{final}: already holds data; choose another --out or pass --overwrite to replace it'
        )
    partial = final.with_name(f'.{layout}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        counts = scene_lengths(frames, scenes)
        jobs = list(_jobs(layout, partial, seed, counts, workers))
        records: list[Record] = []
        with tqdm(total=frames, desc=layout, unit='frame', disable=not progress) as bar:
            for part in _map(jobs, workers):
                records += part
                bar.update(len(part))
        records.sort(key=lambda record: (record['scene'], record['frame']))
        WRITERS[layout](seed, len(counts)).finish(partial, records)
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


def _map(jobs: list[Job], workers: int) -> Iterator[list[Record]]:
    if workers == 1:
        yield from map(_run_job, jobs)
        return
    # Spawned, not forked: a fork would copy the locks of libraries that run threads.
    with multiprocessing.get_context('spawn').Pool(min(workers, len(jobs))) as pool:
        yield from pool.imap_unordered(_run_job, jobs)
