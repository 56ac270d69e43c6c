"""Convert a VoxelNet between this project, mmdet3d, OpenPCDet and the official NCLR release."""

from __future__ import annotations

import argparse
import sys

import nclr_mm  # noqa: F401 (checkpoints of mmengine are read safely with it)
from nclr_mm.checkpoint import CONVERSIONS, convert


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'direction',
        choices=CONVERSIONS,
        help='; '.join(f'{name} reads {c.source}' for name, c in CONVERSIONS.items()),
    )
    parser.add_argument('source', help='checkpoint to read')
    parser.add_argument('target', help='checkpoint to write')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        print(convert(args.direction, args.source, args.target))
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
