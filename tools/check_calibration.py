"""Check the calibration that a data set stores: frame by frame, and for drift over time.

Where there are several cameras, each is also compared with where the rest of the rig puts it.
Writes check.json and check.png. Exits with 0 where all cameras are ok, 3 where one is off, drifting
or moved against the rest, 4 where one is unknown, 2 where the input is wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from terminaltables import AsciiTable

import nclr_mm  # noqa: F401 (applies workarounds, registers components)
from nclr_mm.apis import Drive, check_calibration, init_model, look_at_drive, split_of
from nclr_mm.calibration import (
    ALIGNED_TOLERANCES,
    CameraCheck,
    Deviation,
    RigDeviation,
    Tolerances,
    check_moved_camera_settings,
    check_rig,
    disturbance,
)
from nclr_mm.datasets import CalibrationDataset
from nclr_mm.engine.command_line import (
    DictAction,
    add_moved_camera_options,
    make_folder,
    report_unwritable,
    report_user_errors,
)
from nclr_mm.models.task_modules import RigSolver
from nclr_mm.visualization.check import plot_deviations
from nclr_mm.visualization.report import write_text

EXIT_CODES = {'ok': 0, 'off': 3, 'drifting': 3, 'unknown': 4}
# What is added to the stored calibration to see whether it is noticed: degrees, metres.
DISTURBANCES = ((0, 0), (1, 0), (2, 0), (5, 0), (0, 0.1), (0, 0.3))


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of model and data; a Python program, which runs')
    parser.add_argument('checkpoint', help='weights of the model')
    parser.add_argument('-o', '--out-dir', type=Path, required=True)
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='test')
    parser.add_argument('--looks', type=int, default=2, help='at each frame; default: %(default)s')
    parser.add_argument('--window', type=int, default=10, help='frames; default: %(default)s')
    for option, allowed, help_text in (
        ('--tolerance', Tolerances(), 'to let pass, about the error of the model'),
        ('--edge-tolerance', ALIGNED_TOLERANCES, 'to let pass after edges were aligned (--refine)'),
    ):
        parser.add_argument(
            option,
            nargs=2,
            type=float,
            metavar=('DEGREES', 'METRES'),
            default=(allowed.rotation, allowed.translation),
            help=f'deviations {help_text}; default: %(default)s',
        )
    parser.add_argument(
        '--refine',
        nargs='?',
        type=int,
        const=10,
        default=0,
        metavar='FRAMES',
        help='align edges of depth and image in so many of the frames, where there are twice as '
        'many; default: 10',
    )
    parser.add_argument(
        '--detection-rates',
        type=int,
        default=0,
        metavar='N',
        help='also add known errors to the stored calibration, each in N directions, and count how '
        'often they are noticed',
    )
    add_moved_camera_options(parser)
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args(argv)


def prepare(args: argparse.Namespace) -> tuple[torch.nn.Module, CalibrationDataset]:
    """Model and data; what is wrong with them is found here."""
    for name in ('looks', 'window'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} must be at least 1, got {getattr(args, name)}.')
    if args.refine < 0:
        raise ValueError(f'--refine must be at least 1, got {args.refine}.')
    for name in ('tolerance', 'edge_tolerance'):
        if not all(value > 0 for value in getattr(args, name)):  # nor NaN
            option = name.replace('_', '-')
            raise ValueError(f'--{option} must be positive, got {getattr(args, name)}.')
    check_moved_camera_settings(args.false_alarms, args.shared_error)
    model = init_model(args.config, args.checkpoint, args.device, args.cfg_options)
    if args.seed < 0:
        raise ValueError(f'--seed must not be negative, got {args.seed}.')
    dataset = split_of(model, args.split)
    return model, dataset


def describe(deviation: Deviation, names: Sequence[str]) -> dict:
    """A deviation for check.json; numbers that do not exist are null."""
    estimate = deviation.estimate
    solved = estimate.verdict != 'failed'
    rotation, translation = deviation.bound
    alignment = deviation.alignment
    return dict(
        frames=[names[deviation.begin], names[deviation.end - 1]],
        verdict=estimate.verdict,
        reasons=estimate.reasons,
        rotation_deg=deviation.rotation if solved else None,
        translation_m=deviation.translation if solved else None,
        rotation_bound_deg=rotation if 0 < rotation < math.inf else None,
        translation_bound_m=translation if 0 < translation < math.inf else None,
        correction=deviation.correction.tolist() if solved else None,
        network_correction=estimate.lidar2cam.tolist() if solved else None,
        edge_scores=None if alignment is None else [alignment.score_start, alignment.score],
        exceeds=deviation.exceeds,
        unclear=deviation.unclear,
    )


def series(deviations: Sequence[Deviation], kind: int) -> list[tuple[float, float, float]]:
    """Position, rotation (0) or translation (1), and bound of deviations, NaN without a pose."""
    rows = []
    for item in deviations:
        solved = item.estimate.verdict != 'failed'
        value = (item.rotation, item.translation)[kind] if solved else math.nan
        rows.append(((item.begin + item.end - 1) / 2, value, item.bound[kind]))
    return rows


def with_bound(value: str, bound: float, digits: int) -> str:
    """A value with its 90 % bound, where that is known: not of an alignment."""
    return f'{value} (bound {bound:.{digits}f})' if 0 < bound < math.inf else value


def table(checks: Mapping[str, CameraCheck]) -> str:
    rows = [['camera', 'verdict', 'off by (deg)', 'off by (m)', 'frames beyond', 'drifts']]
    for name, check in checks.items():
        overall, bound = check.overall, check.overall.bound
        solved = overall.estimate.verdict != 'failed'
        rows.append(
            [
                name,
                check.verdict,
                with_bound(f'{overall.rotation:.2f}', bound[0], 2) if solved else '',
                with_bound(f'{overall.translation:.3f}', bound[1], 3) if solved else '',
                f'{sum(f.exceeds for f in check.frames)} of {len(check.frames)}',
                f'{len(check.drifts)} of {len(check.windows)} windows',
            ]
        )
    return AsciiTable(rows).table


def first_names(drive: Drive) -> list[str]:
    """Names of the frames."""
    return [frame.name for frame in next(iter(drive.values()))]


def describe_rig(deviation: RigDeviation, names: Sequence[str]) -> dict:
    """What frames say of the rig as a whole, for check.json."""
    solved = deviation.estimate.verdict != 'failed'
    degrees, metres = deviation.size
    covariance = deviation.estimate.covariance
    return dict(
        frames=[names[deviation.begin], names[deviation.end - 1]],
        verdict=deviation.estimate.verdict,
        reasons=deviation.estimate.reasons,
        lidar_motion=deviation.estimate.lidar2rig.tolist() if solved else None,
        rotation_deg=degrees if solved else None,
        translation_m=metres if solved else None,
        covariance=covariance.tolist() if np.isfinite(covariance).all() else None,
        cameras={
            name: dict(
                verdict=motion.verdict,
                **{
                    key: value if math.isfinite(value) else None
                    for key, value in (
                        ('p_value', motion.p_value),
                        ('rotation_deg', motion.rotation),
                        ('translation_m', motion.translation),
                    )
                },
                correction=motion.correction.tolist() if math.isfinite(motion.rotation) else None,
            )
            for name, motion in deviation.motions.items()
        },
    )


def rig_table(overall: RigDeviation, windows: Sequence[RigDeviation]) -> str:
    rows = [
        ['against the rest of the rig', 'verdict', 'off by (deg)', 'off by (m)', 'p', 'windows']
    ]
    for name, motion in overall.motions.items():
        known = math.isfinite(motion.rotation)
        rows.append(
            [
                name,
                motion.verdict,
                f'{motion.rotation:.2f}' if known else '',
                f'{motion.translation:.3f}' if known else '',
                f'{motion.p_value:.2g}' if known else '',
                f'moved in {sum(name in w.moved for w in windows)} of {len(windows)}',
            ]
        )
    degrees, metres = overall.size
    if math.isfinite(degrees):
        bound = overall.estimate.bound
        rows.append(
            [
                'LiDAR against all cameras',
                overall.estimate.verdict,
                with_bound(f'{degrees:.2f}', bound[0], 3),
                with_bound(f'{metres:.3f}', bound[1], 4),
                '',
                '',
            ]
        )
    return AsciiTable(rows).table


def disturbed(drive: Drive, motion: np.ndarray) -> Drive:
    """The drive as it would be if the stored calibration were off by a motion of the camera."""
    return {
        name: [replace(frame, stored=motion @ frame.stored) for frame in frames]
        for name, frames in drive.items()
    }


def detection_rates(model, drive: Drive, number: int, **settings) -> str:
    """How often known errors of the stored calibration are noticed, as a table.

    A drive is all frames of a camera together, without windows; a frame counts where it has a pose.
    """
    settings['window'] = max(len(frames) for frames in drive.values())
    rows = [['added', 'drives noticed', 'frames noticed', 'frames without a pose']]
    for degrees, metres in DISTURBANCES:
        count: Counter = Counter()
        for seed in range(number if degrees or metres else 1):
            off = disturbed(drive, disturbance(degrees, metres, seed))
            for check in check_calibration(model, off, **settings).values():
                count['drives'] += 1
                count['noticed'] += check.verdict in ('off', 'drifting')
                count['frames'] += len(check.frames)
                count['beyond'] += sum(f.exceeds for f in check.frames)
                count['failed'] += sum(f.estimate.verdict == 'failed' for f in check.frames)
        solved = max(count['frames'] - count['failed'], 1)
        rows.append(
            [
                f'{degrees} deg, {metres} m',
                f'{count["noticed"]} of {count["drives"]}',
                f'{count["beyond"] / solved:.2f}',
                f'{count["failed"] / count["frames"]:.2f}',
            ]
        )
    return AsciiTable(rows).table


@report_unwritable
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    model, dataset = report_user_errors(lambda: prepare(args))

    def progress(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            print(f'{done} of {total} frames', flush=True)

    # A file that is broken shows only when its turn comes.
    drive = report_user_errors(
        lambda: look_at_drive(model, dataset, args.looks, args.seed, progress)
    )
    report_user_errors(lambda: make_folder(args.out_dir))
    settings = dict(
        window=args.window,
        tolerances=Tolerances(*args.tolerance),
        align=args.refine,
        aligned_tolerances=Tolerances(*args.edge_tolerance),
    )
    checks = check_calibration(model, drive, **settings)
    cameras = {}
    for name, check in checks.items():
        names = [frame.name for frame in drive[name]]
        cameras[name] = dict(
            verdict=check.verdict,
            overall=describe(check.overall, names),
            windows=[describe(window, names) for window in check.windows],
            drifting_windows=check.drifts,
            frames=[describe(frame, names) for frame in check.frames],
        )
    rig = None
    if len(drive) > 1:
        rig = check_rig(
            drive,
            model.calib_head.rig_solver or RigSolver(),
            args.window,
            args.false_alarms,
            tuple(args.shared_error),
        )
    report = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        split=args.split,
        tolerances=asdict(settings['tolerances']),
        edge_tolerances=asdict(settings['aligned_tolerances']) if args.refine else None,
        convention='correction (4x4) C of the camera frame: the estimate of lidar2cam is C stored; '
        'lidar_motion (4x4) M of the LiDAR against all cameras: it is stored M',
        cameras=cameras,
        rig=None
        if rig is None
        else dict(
            overall=describe_rig(rig[0], first_names(drive)),
            windows=[describe_rig(window, first_names(drive)) for window in rig[1]],
        ),
    )
    write_text(args.out_dir / 'check.json', json.dumps(report, indent=1))
    kinds = ('rotation (deg)', 'translation (m)')
    plot_deviations(
        {
            name: {
                kind: (series(check.frames, i), series(check.windows, i))
                for i, kind in enumerate(kinds)
            }
            for name, check in checks.items()
        },
        dict(zip(kinds, args.tolerance)),
        args.out_dir / 'check.png',
    )
    print(table(checks))
    if rig is not None:
        print(rig_table(*rig))
    if args.refine and len(next(iter(drive.values()))) < 2 * args.refine:
        print(f'Edges are aligned where there are {2 * args.refine} frames or more: they were not.')
    if args.detection_rates:
        rates = detection_rates(model, drive, args.detection_rates, **settings)
        write_text(args.out_dir / 'detection_rates.txt', rates + '\n')
        print(rates)
    print(args.out_dir / 'check.json')
    codes = [EXIT_CODES[check.verdict] for check in checks.values()]
    if rig is not None and rig[0].moved:
        codes.append(EXIT_CODES['off'])
    return max(codes)


if __name__ == '__main__':
    sys.exit(main())
