"""Prepare data: simulate a drive, or write the info files of a data set."""

from __future__ import annotations

import argparse
import os
import sys


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True, metavar='command')

    simulation = commands.add_parser('simulation', help='simulate a drive with its calibration')
    if 'simulation' in argv:  # the ray caster is imported only where it is used
        from nclr_mm.simulation import cli

        cli.add_arguments(simulation)

    nuscenes = commands.add_parser('nuscenes', help='nuScenes, or a drive in its layout')
    _add_common_arguments(nuscenes, 'data/nuscenes', 'nuscenes')
    nuscenes.add_argument(
        '--version', help='folder of the tables; default: the only v1.0-* folder of the root'
    )
    nuscenes.add_argument(
        '--hold-out',
        type=int,
        metavar='K',
        help='keep every K-th frame of each training scene for testing, in ..._infos_heldout.pkl',
    )

    semantickitti = commands.add_parser(
        'semantickitti', help='SemanticKITTI, or a drive in the KITTI odometry layout'
    )
    _add_common_arguments(semantickitti, 'data/semantickitti', 'semantickitti')
    _add_split_argument(semantickitti)

    semanticposs = commands.add_parser('semanticposs', help='SemanticPOSS, labelled scans')
    _add_common_arguments(semanticposs, 'data/semanticposs', 'semanticposs')
    _add_split_argument(semanticposs)

    kitti = commands.add_parser('kitti', help='KITTI object detection')
    _add_common_arguments(kitti, 'data/kitti', 'kitti')
    kitti.add_argument(
        '--infos-only',
        action='store_true',
        help='without reduced clouds and ground-truth database, which detectors need',
    )
    return parser.parse_args(argv)


def _add_common_arguments(parser: argparse.ArgumentParser, root: str, tag: str) -> None:
    parser.add_argument('--root-path', default=root, help='default: %(default)s')
    parser.add_argument('--out-dir', help='where the info files go; default: the root')
    parser.add_argument(
        '--extra-tag', default=tag, help='start of the file names; default: %(default)s'
    )
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count(), help='threads; default: all cores'
    )
    parser.add_argument(
        '--check', action='store_true', help='read every scan, image and label fully'
    )


def _add_split_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--split',
        action='append',
        metavar='NAME=SEQ[:FIRST-LAST][,...]',
        help='sequences and frames (both ends included) of a split, such as train=00:0-29,01; '
        'may be repeated, equal names are joined; default: the official splits',
    )


def create_infos(args: argparse.Namespace) -> None:
    """Write the info files of a data set."""
    from nclr_mm.datasets import converters
    from nclr_mm.datasets.converters.sequences import parse_splits

    options = dict(
        root_path=args.root_path,
        out_dir=args.out_dir,
        extra_tag=args.extra_tag,
        workers=args.workers,
        check=args.check,
    )
    if args.command == 'nuscenes':
        converters.create_nuscenes_infos(version=args.version, hold_out=args.hold_out, **options)
    elif args.command in ('semantickitti', 'semanticposs'):
        create = getattr(converters, f'create_{args.command}_infos')
        create(splits=parse_splits(args.split) if args.split else None, **options)
    else:
        create_kitti(options, args.infos_only)


def create_kitti(options: dict, infos_only: bool) -> None:
    """Write the info files of KITTI, and what its detectors need beside them."""
    from nclr_mm.datasets import converters

    infos = converters.create_kitti_infos(**options)
    if infos_only:
        return
    out_dir = options['out_dir'] or options['root_path']
    workers = options['workers']
    converters.create_reduced_clouds(options['root_path'], infos, out_dir, workers)
    if 'train' in infos:
        converters.create_gt_database(infos['train'], out_dir, options['extra_tag'], workers)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    try:
        args = parse_args(argv)
        if args.command == 'simulation':
            from nclr_mm.simulation import cli

            cli.run(args)
        else:
            create_infos(args)
    except ModuleNotFoundError as error:
        from nclr_mm.environment import missing_extra

        return _fail(missing_extra(error, 'sim' if 'simulation' in argv else 'nuscenes'))
    except (OSError, ValueError) as error:
        return _fail(str(error))
    return 0


def _fail(message: str) -> int:
    print(f'error: {message}', file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
