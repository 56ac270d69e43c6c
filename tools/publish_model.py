"""Write the weights of a checkpoint to give away: float16, without optimiser, named by content."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import nclr_mm  # noqa: F401 (checkpoints of mmengine are read safely with it)
from nclr_mm.checkpoint import publish
from nclr_mm.engine.command_line import report_user_errors


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='of a run')
    parser.add_argument('target', help='NAME.pth; digits of its content are added to the name')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    path = report_user_errors(lambda: publish(args.checkpoint, args.target))
    print(f'{path}: {path.stat().st_size / 1e6:.1f} MB')


if __name__ == '__main__':
    main()
