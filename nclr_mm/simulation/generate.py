"""Makes whole data sets: work split over processes, nothing half-written under the final name."""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..version import __version__
from .capture import Observer
from .drive import MAX_TRAVEL, MIN_SPEED
from .scene import make_scene
from .writers.base import Record, Writer
from .writers.files import write_text
from .writers.kitti import KittiWriter
from .writers.nuscenes import NuScenesWriter
from .writers.semantickitti import SemanticKittiWriter
from .writers.semanticposs import SemanticPossWriter

WRITERS: dict[str, Callable[[int, int], Writer]] = {
    'nuscenes': NuScenesWriter,
    'kitti': KittiWriter,
    'semantickitti': SemanticKittiWriter,
    'semanticposs': SemanticPossWriter,
}

FRAMES_PER_SCENE = 5
MARKER = 'simulation.json'  # in the root of each data set made here: what it was made from


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


def _run_job(job: Job) -> Iterator[Record]:
    writer: Writer = WRITERS[job.layout](job.seed, job.scenes)
    scene = make_scene(job.seed, job.scene, job.frames, writer.interval)
    rig = writer.make_rig(np.random.default_rng([job.seed, job.scene, 100]))
    observer = Observer(scene, rig)
    for frame in range(job.first, job.last):
        rng = np.random.default_rng([job.seed, job.scene, 101, frame])
        capture = observer.capture(frame, rng)
        yield writer.write_frame(job.root, job.scene, frame, scene, rig, capture)


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


def check_target(out: Path, layout: str, overwrite: bool) -> Path:
    """Returns the final folder, ``out / layout``, if a data set may be put there.

    Raises:
        FileExistsError: ``out`` or the folder is a file; or the folder holds something and
            ``overwrite`` is not set, or what it holds was not made by the simulation.
    """
    final = Path(out) / layout
    for path in (Path(out), final):
        if path.exists() and not path.is_dir():
            raise FileExistsError(f'{path}: is a file, expected a folder for the data set')
    if not final.exists() or not any(final.iterdir()):
        return final
    if not overwrite:
        raise FileExistsError(
            f'{final}: already holds data; choose another --out or pass --overwrite to replace it'
        )
    if not (final / MARKER).is_file():
        raise FileExistsError(
            f'{final}: holds no {MARKER}, so it may be a real data set and is not overwritten; '
            'choose another --out, or delete the folder by hand if it was simulated before '
            f'{MARKER} was written'
        )
    return final


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
        layout: 'nuscenes', 'kitti', 'semantickitti' or 'semanticposs'.
        scenes: number of different streets; None makes one for every five frames.
        workers: processes.
        overwrite: whether an existing data set is replaced.
        progress: whether a progress bar is shown.

    Raises:
        FileExistsError: see :func:`check_target`.
        ValueError: a number is out of range, the layout is unknown, or a scene has so many frames
            that its drive would be slower than 1 m/s.
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
    counts = scene_lengths(frames, scenes)
    duration = (counts[0] - 1) * WRITERS[layout](seed, scenes).interval
    if duration * MIN_SPEED > MAX_TRAVEL:
        raise ValueError(
            f'simulation: {counts[0]} frames in one scene would be driven at '
            f'{MAX_TRAVEL / duration:.3f} m/s, expected at least {MIN_SPEED:g} m/s; use more scenes'
        )
    final = check_target(out, layout, overwrite)
    partial = final.with_name(f'.{layout}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        jobs = list(_jobs(layout, partial, seed, counts, workers))
        records: list[Record] = []
        with tqdm(total=frames, desc=layout, unit='frame', disable=not progress) as bar:
            for record in _run_jobs(jobs, workers):
                records.append(record)
                bar.update()
        records.sort(key=lambda record: (record['scene'], record['frame']))
        WRITERS[layout](seed, len(counts)).finish(partial, records)
        origin = {
            'layout': layout,
            'seed': seed,
            'frames': frames,
            'scenes': scenes,
            'nclr_mm': __version__,
        }
        write_text(partial / MARKER, [json.dumps(origin)])
        # Renamed before it is deleted: an interruption leaves one or the other, never a half of it.
        old = final.with_name(f'.{layout}.old')
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            os.replace(final, old)
        os.replace(partial, final)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


def _run_jobs(jobs: list[Job], workers: int) -> Iterator[Record]:
    """Records of all frames, each as soon as it is there, in any order."""
    if workers == 1:
        for job in jobs:
            yield from _run_job(job)
        return
    # Spawned, not forked: a fork would copy the locks of libraries that run threads.
    context = multiprocessing.get_context('spawn')
    records: multiprocessing.Queue[Record] = context.Queue()
    errors: list[BaseException] = []
    with context.Pool(min(workers, len(jobs)), _start_worker, (records,)) as pool:
        for job in jobs:
            pool.apply_async(_send_records, (job,), error_callback=errors.append)
        missing = sum(job.last - job.first for job in jobs)
        while missing:
            if errors:
                raise errors[0]
            try:
                record = records.get(timeout=0.5)
            except queue.Empty:
                continue
            missing -= 1
            yield record


_sink: multiprocessing.Queue[Record]


def _start_worker(sink: multiprocessing.Queue[Record]) -> None:
    global _sink
    _sink = sink


def _send_records(job: Job) -> None:
    for record in _run_job(job):
        _sink.put(record)
