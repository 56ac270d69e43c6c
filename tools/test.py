"""Test a checkpoint with the metric of a config."""

from __future__ import annotations

import argparse

from mmengine.config import Config
from mmengine.model import is_model_wrapper

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.engine.command_line import (
    add_run_arguments,
    build_runner,
    load_config,
    report_user_errors,
    require_checkpoint,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_arguments(parser)
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint file; without one, the untrained model is tested (what training adds)',
    )
    return parser.parse_args()


def prepare(args: argparse.Namespace) -> Config:
    """The config as the command line wants it."""
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    require_checkpoint(args.checkpoint)
    return cfg


def main() -> None:
    args = parse_args()
    cfg = report_user_errors(lambda: prepare(args))
    runner = build_runner(cfg)
    if args.checkpoint is None:  # the runner initialises a model only to train it
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.init_weights()
    runner.test()


if __name__ == '__main__':
    main()
