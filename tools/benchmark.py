"""Time one training step of a pretraining config, part by part, and its peak memory."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from mmengine.config import DictAction
from mmengine.registry import init_default_scope

import nclr_mm  # noqa: F401 (registers the components)
from nclr_mm.engine.command_line import read_config, report_user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='pretraining config')
    parser.add_argument('-n', '--steps', type=int, default=5, help='steps that are timed')
    parser.add_argument('--warm-up', type=int, default=2, help='steps before them')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--pose-loss', action='store_true', help='with the pose loss on')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--out', type=Path, help='write the figures to this JSON file')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings')
    return parser.parse_args()


class Parts:
    """Seconds of the parts of each step; waits for the device before it reads the clock."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._last = 0.0

    def _now(self) -> float:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def start(self) -> None:
        """Begin a part."""
        self._last = self._now()

    def stop(self, name: str) -> None:
        """End the part under its name; the next one begins."""
        now = self._now()
        self.seconds[name].append(now - self._last)
        self._last = now


def step(model, optim_wrapper, dataset, index: list[int], parts: Parts) -> None:
    """Run one training step; ``index`` names the samples."""
    from mmengine.dataset import pseudo_collate

    parts.start()
    data = pseudo_collate([dataset[i % len(dataset)] for i in index])
    parts.stop('load (a worker does this)')
    data = model.data_preprocessor(data, training=True)
    inputs, samples = data['inputs'], data['data_samples']
    parts.stop('voxelise, normalise')
    point_features = model.backbone(inputs['voxels']['voxels'], inputs['voxels']['coors'])
    parts.stop('LiDAR branch')
    image_features = model.img_neck(model.img_backbone(inputs['imgs'].flatten(0, 1)))
    parts.stop('image branch')
    image_size = tuple(inputs['imgs'].shape[-2:])
    scene = model.calib_head.make_scene(
        point_features, inputs['voxels'], image_features, samples, image_size
    )
    loss, _ = model.parse_losses(model.calib_head.loss(scene))
    parts.stop('head and losses')
    loss.backward()
    parts.stop('backward')
    optim_wrapper.step()
    optim_wrapper.zero_grad()
    parts.stop('optimiser')


def main() -> None:
    args = parse_args()
    cfg = report_user_errors(lambda: read_config(args.config, args.cfg_options))
    init_default_scope(cfg.default_scope)
    from mmdet3d.registry import DATASETS, MODELS
    from mmengine.optim import build_optim_wrapper

    torch.manual_seed(0)
    device = torch.device(args.device)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model = model.to(device).train()
    model.data_preprocessor.to(device)
    model.calib_head.with_pose_loss = args.pose_loss
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    parts = Parts(device)
    for i in range(args.warm_up + args.steps):
        if i == args.warm_up:
            parts.seconds.clear()
        index = list(range(i * args.batch_size, (i + 1) * args.batch_size))
        step(model, optim_wrapper, dataset, index, parts)

    medians = {name: float(np.median(values)) for name, values in parts.seconds.items()}
    loading = medians.pop('load (a worker does this)')
    total = sum(medians.values())
    if device.type == 'cuda':
        memory = torch.cuda.max_memory_allocated(device)
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f'{args.config}: batch {args.batch_size}, {device}, {torch.get_num_threads()} threads')
    print(f'a step: {total:.2f} s (median of {args.steps}); peak memory {memory / 2**30:.2f} GiB')
    for name, value in medians.items():
        print(f'  {name:22s} {value:7.3f} s  {100 * value / total:5.1f} %')
    print(f'loading: {loading / args.batch_size:.3f} s a sample, in one worker')
    if args.out:
        figures = dict(seconds=medians, step=total, load=loading, peak_bytes=memory)
        args.out.write_text(json.dumps(figures, indent=1))


if __name__ == '__main__':
    sys.exit(main())
