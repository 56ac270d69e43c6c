"""Command line of the simulation: ``create_data.py simulation``."""

from __future__ import annotations

import argparse
from pathlib import Path

from .generate import FRAMES_PER_SCENE, WRITERS, check_target, generate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-command's options to a parser."""
    parser.add_argument('--out', type=Path, required=True, help='folder for the data sets')
    parser.add_argument('--frames', type=int, required=True, help='key frames of each layout')
    parser.add_argument('--seed', type=int, default=0, help='same seed, same files (default 0)')
    parser.add_argument(
        '--layout',
        nargs='+',
        choices=sorted(WRITERS),
        default=['nuscenes'],
        help='official layouts to write, each below OUT under its own name (default nuscenes)',
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument('--scenes', type=int, help='number of different streets')
    group.add_argument(
        '--frames-per-scene',
        type=int,
        default=FRAMES_PER_SCENE,
        help='key frames of one street (default %(default)s); fewer means more variety',
    )
    parser.add_argument('--workers', type=int, default=1, help='processes (default 1)')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace a simulated data set that is there'
    )


def run(args: argparse.Namespace) -> None:
    """Makes the data sets that the options ask for and prints where they are."""
    scenes = args.scenes
    if scenes is None:
        if args.frames_per_scene < 1:
            raise ValueError(f'--frames-per-scene is {args.frames_per_scene}, expected at least 1')
        scenes = -(-args.frames // args.frames_per_scene)
    for layout in args.layout:  # all of them before the first is rendered
        check_target(args.out, layout, args.overwrite)
    for layout in args.layout:
        root = generate(
            args.out,
            args.frames,
            args.seed,
            layout,
            scenes,
            args.workers,
            args.overwrite,
        )
        print(f'{layout}: {args.frames} frames in {root}')
