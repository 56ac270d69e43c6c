"""Train the model of a config: pretraining, or any other task of mmdet3d."""

from __future__ import annotations

import argparse

import torch
from mmengine.config import Config

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.compat.mmengine_saving import newest_checkpoint
from nclr_mm.engine.command_line import (
    add_run_arguments,
    build_loops,
    build_runner,
    load_config,
    report_run_failure,
    report_user_errors,
    require_checkpoint,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without a name, from the last one in the work directory',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision: float16 on GPUs, bfloat16 on CPUs'
    )
    parser.add_argument(
        '--sync_bn', choices=['none', 'torch', 'mmcv'], default='none', help='sync batch norms'
    )
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size'
    )
    return parser.parse_args()


def prepare(args: argparse.Namespace) -> Config:
    """The config as the command line wants it."""
    cfg = load_config(args)
    if args.amp:
        if cfg.optim_wrapper.type not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise ValueError(
                f'--amp needs an optim_wrapper of type OptimWrapper, not {cfg.optim_wrapper.type}.'
            )
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        if torch.cuda.is_available():
            cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
        else:
            cfg.optim_wrapper.setdefault('dtype', 'bfloat16')
    if args.sync_bn != 'none':
        cfg.sync_bn = args.sync_bn
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                f'--auto-scale-lr needs auto_scale_lr.base_batch_size, which {args.config} lacks.'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume not in (None, 'auto'):
        cfg.resume, cfg.load_from = True, args.resume
    elif args.resume == 'auto' and newest_checkpoint(cfg.work_dir):
        cfg.resume, cfg.load_from = True, None
    # Without a checkpoint to go on from, the run starts as it did at first: from load_from.
    require_checkpoint(cfg.get('load_from'))
    return cfg


def main() -> None:
    args = parse_args()
    cfg = report_user_errors(lambda: prepare(args))

    def train() -> None:
        runner = build_runner(cfg)
        build_loops(runner, 'train', 'val')
        runner.train()

    report_run_failure(train, cfg.work_dir)


if __name__ == '__main__':
    main()
