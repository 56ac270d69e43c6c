"""How exact, how honest and how watchful the estimate of a rig is, on a data set whose calibration
is right.

The network looks at each frame once; then single cameras, the rig, and groups of frames are solved,
the stated covariance is compared with the errors, and cameras are moved to see whether that is
noticed. Writes rig.json, README.md with the tables, and frames.png.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

import nclr_mm  # noqa: F401 (applies workarounds, registers components)
from nclr_mm.apis import Drive, init_model, look_at_drive, split_of
from nclr_mm.calibration import check_moved_camera_settings, rig_trials
from nclr_mm.datasets import CalibrationDataset
from nclr_mm.engine.command_line import (
    DictAction,
    add_moved_camera_options,
    make_folder,
    report_unwritable,
    report_user_errors,
)
from nclr_mm.models.task_modules import RigSolver
from nclr_mm.visualization.report import write_text
from nclr_mm.visualization.rig import plot_frames

RECALLS = ((0.2, 0.05), (1, 0.2), (5, 2), (10, 5), (45, 10))
MOTIONS = ((0, 0), (0.3, 0), (0.5, 0), (1, 0), (2, 0), (0, 0.02), (0, 0.05), (0, 0.1))


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of model and data; a Python program, which runs')
    parser.add_argument('checkpoint', help='weights of the model')
    parser.add_argument('-o', '--out-dir', type=Path, required=True)
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='test')
    parser.add_argument('--looks', type=int, default=2, help='at each frame; default: %(default)s')
    parser.add_argument(
        '--numbers', nargs='+', type=int, default=[1, 2, 5, 10, 20, 50], help='frames of a group'
    )
    parser.add_argument(
        '--moved',
        nargs='+',
        type=int,
        default=[1, 20],
        help='frames of a group with a moved camera',
    )
    parser.add_argument(
        '--trials', type=int, default=30, help='most groups with a moved camera a row of the table'
    )
    add_moved_camera_options(parser)
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})
    return parser.parse_args(argv)


def prepare(args: argparse.Namespace) -> tuple[torch.nn.Module, CalibrationDataset]:
    """Model and data; what is wrong with them is found here."""
    for name in ('looks', 'trials'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} must be at least 1, got {getattr(args, name)}.')
    for name in ('numbers', 'moved'):
        if min(getattr(args, name)) < 1:
            raise ValueError(f'--{name} must be at least 1 each, got {getattr(args, name)}.')
    check_moved_camera_settings(args.false_alarms, args.shared_error)
    model = init_model(args.config, args.checkpoint, args.device, args.cfg_options)
    dataset = split_of(model, args.split)
    make_folder(args.out_dir)
    return model, dataset


def summary(trials: Sequence[rig_trials.Trial]) -> dict:
    """Medians, means, recalls and failures; what failed counts as 180 degrees and 20 metres."""
    solved = np.array([np.isfinite(t.rotation) for t in trials])
    rotation = np.where(solved, [t.rotation for t in trials], 180.0)
    translation = np.where(solved, [t.translation for t in trials], 20.0)
    return dict(
        number=len(trials),
        rotation_median=float(np.median(rotation)),
        rotation_mean=float(np.mean(rotation)),
        translation_median=float(np.median(translation)),
        translation_mean=float(np.mean(translation)),
        failed=float(1 - solved.mean()),
        **dict(zip(('within_bounds', 'bound_factor'), rig_trials.within_bounds(trials))),
        recall={
            f'{degrees:g} deg, {metres:g} m': float(
                np.mean((rotation <= degrees) & (translation <= metres))
            )
            for degrees, metres in RECALLS
        },
    )


def evaluate(args: argparse.Namespace, drive: Drive, solver: RigSolver) -> dict:
    """All that is measured, for rig.json."""
    sizes = [n for n in sorted(set(args.numbers)) if rig_trials.groups_of(drive, n)]
    if not sizes:
        raise ValueError(f'No scene has {min(args.numbers)} frames.')
    trials = {size: rig_trials.try_groups(drive, solver, size) for size in sizes}
    result: dict = dict(
        cameras=list(drive),
        single=summary(rig_trials.try_groups(drive, solver, 1, each=True)),
        rig={str(size): summary(some) for size, some in trials.items()},
        coverage={},
        moved=[],
    )
    for size, some in trials.items():
        known = [t for t in some if np.isfinite(t.distance)]
        if len(known) < 2:
            continue
        half = len(known) // 2
        factor = rig_trials.fit_inflation(known[:half])
        result['coverage'][str(size)] = dict(
            number=len(known),
            plain=rig_trials.coverage(known),
            inflation=factor,
            number_held_out=len(known) - half,
            held_out_plain=rig_trials.coverage(known[half:]),
            held_out_inflated=rig_trials.coverage(known[half:], factor),
        )
    if len(drive) > 1:
        for size in args.moved:
            for degrees, metres in MOTIONS:
                found, alarms, number = rig_trials.detection(
                    drive,
                    solver,
                    size,
                    degrees,
                    metres,
                    false_alarms=args.false_alarms,
                    shared=tuple(args.shared_error),
                    limit=args.trials,
                )
                if number:
                    result['moved'].append(
                        dict(
                            frames=size,
                            rotation_deg=degrees,
                            translation_m=metres,
                            found=found,
                            others_blamed=alarms,
                            number=number,
                        )
                    )
    return result


def tables(result: Mapping) -> str:
    """README.md of the folder."""
    names = list(result['single']['recall'])
    lines = [
        '# A rig against the truth',
        '',
        f'Cameras: {", ".join(result["cameras"])}. Errors of a rig are those of its worst camera.',
        '',
        f'| | number | rotation median / mean (deg) | translation (m) | failed | '
        f'{" | ".join(names)} | within the 90 % bounds | factor for 90 % |',
        '| --- | ---: | ---: | ---: | ---: |' + ' ---: |' * (len(names) + 2),
    ]
    rows = {'each camera, one frame': result['single']}
    rows |= {f'rig, {size} frames': row for size, row in result['rig'].items()}
    for name, row in rows.items():
        recalls = ' | '.join(f'{row["recall"][key]:.2f}' for key in names)
        lines.append(
            f'| {name} | {row["number"]} | {row["rotation_median"]:.3f} / '
            f'{row["rotation_mean"]:.3f} | {row["translation_median"]:.3f} / '
            f'{row["translation_mean"]:.3f} | {row["failed"]:.2f} | {recalls} | '
            f'{row["within_bounds"]:.2f} | {row["bound_factor"]:.2f} |'
        )
    lines += [
        '',
        'Share of the errors in the ellipsoids of 50, 90 and 99 %; the factor is fitted on the '
        'first half, and the rest is what it gives on the second.',
        '',
        '| frames | number | stated | factor | second half, stated | with the factor |',
        '| --- | ---: | ---: | ---: | ---: | ---: |',
    ]

    def shares(values: Sequence[float]) -> str:
        return ' / '.join(f'{100 * value:.0f}' for value in values)

    for size, row in result['coverage'].items():
        lines.append(
            f'| {size} | {row["number"]} | {shares(row["plain"])} | {row["inflation"]:.2f} | '
            f'{shares(row["held_out_plain"])} | {shares(row["held_out_inflated"])} |'
        )
    if result['moved']:
        lines += [
            '',
            'One camera moved: groups in which it was found moved, and in which another was.',
            '',
            '| frames | moved by | found | another blamed |',
            '| --- | ---: | ---: | ---: |',
        ]
        for row in result['moved']:
            by = f'{row["rotation_deg"]:g} deg, {row["translation_m"]:g} m'
            lines.append(
                f'| {row["frames"]} | {by} | {row["found"]} of {row["number"]} | '
                f'{row["others_blamed"]} of {row["number"]} |'
            )
    return '\n'.join(lines) + '\n'


@report_unwritable
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    model, dataset = report_user_errors(lambda: prepare(args))

    def progress(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            print(f'{done} of {total} frames', flush=True)

    drive = report_user_errors(
        lambda: look_at_drive(model, dataset, args.looks, args.seed, progress)
    )
    solver = model.calib_head.rig_solver or RigSolver()
    result = report_user_errors(lambda: evaluate(args, drive, solver))
    report = dict(
        config=args.config, checkpoint=args.checkpoint, looks=args.looks, seed=args.seed, **result
    )
    write_text(args.out_dir / 'rig.json', json.dumps(report, indent=1))
    write_text(args.out_dir / 'README.md', tables(result))
    plot_frames(
        args.out_dir / 'frames.png',
        {
            int(size): (row['rotation_median'], row['translation_median'])
            for size, row in result['rig'].items()
        },
    )
    print(tables(result))
    print(args.out_dir / 'README.md')
    return 0


if __name__ == '__main__':
    sys.exit(main())
