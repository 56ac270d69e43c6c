"""Test a checkpoint with the metric of a config."""

from __future__ import annotations

import argparse

from mmengine.config import Config

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.engine.command_line import (
    add_run_arguments,
    build_loops,
    build_runner,
    load_config,
    report_run_failure,
    report_user_errors,
    require_checkpoint,
)
from nclr_mm.engine.distributed import unwrapped_model


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_arguments(parser)
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint file; without one, the untrained model is tested (what training adds)',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation by the config's tta_model",
    )
    return parser.parse_args()


def prepare(args: argparse.Namespace) -> Config:
    """The config as the command line wants it."""
    cfg = load_config(args)
    cfg.load_from, cfg.resume = args.checkpoint, False  # only a training can be resumed
    require_checkpoint(args.checkpoint)
    if args.tta:
        lacking = [key for key in ('tta_model', 'tta_pipeline') if not cfg.get(key)]
        if lacking:
            raise ValueError(f'--tta needs {" and ".join(lacking)}, which {args.config} lacks.')
        cfg.model = dict(cfg.tta_model, module=cfg.model)
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    return cfg


def main() -> None:
    args = parse_args()
    cfg = report_user_errors(lambda: prepare(args))

    def test() -> None:
        runner = build_runner(cfg)
        if args.checkpoint is None:  # the runner initialises a model only to train it
            unwrapped_model(runner).init_weights()
        build_loops(runner, 'test')
        runner.test()

    report_run_failure(test, cfg.work_dir)


if __name__ == '__main__':
    main()
