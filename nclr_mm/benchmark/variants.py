"""A training step in several variants: precision, memory format, optimiser, compilation."""

from __future__ import annotations

import copy
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import set_random_seed
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, Dataset, Subset

from .step import as_in_a_worker, build_training
from .timing import Clock, peak_bytes

__all__ = [
    'VARIANTS',
    'TrainingSteps',
    'host_trips',
    'loading_rate',
    'measure_throughput',
    'top_kernels',
    'with_options',
]

_AMP = {'optim_wrapper.type': 'AmpOptimWrapper'}
_BF16 = {**_AMP, 'optim_wrapper.dtype': 'bfloat16'}
_FP16 = {**_AMP, 'optim_wrapper.dtype': 'float16', 'optim_wrapper.loss_scale': 'dynamic'}
_DENSE = {
    'model.channels_last': True,
    'optim_wrapper.optimizer.fused': True,
    'model.compile_dense': True,
}

#: Name -> what it changes in a config.
VARIANTS: dict[str, dict] = {
    'float32': {},
    'bf16': _BF16,
    'fp16': _FP16,
    'channels_last': {'model.channels_last': True},
    'fused optimiser': {'optim_wrapper.optimizer.fused': True},
    'compiled': {'model.compile_dense': True},
    # For more than all images of two batches, so that after two steps none is computed.
    'cached images': {'model.img_cache_gib': 16.0},
    'bf16 and all': {**_BF16, **_DENSE},
    'fp16 and all': {**_FP16, **_DENSE},
}


def with_options(cfg: Config, options: Mapping) -> Config:
    """A copy of a config with options, as ``--cfg-options`` would set them."""
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(dict(options))
    return cfg


class TrainingSteps:
    """Training steps over a few batches that are loaded beforehand; a call makes one.

    Args:
        cfg: pretraining config.
        dataset: its training data.
        device: where.
        batch_size: samples a step.
        pose_loss: whether the pose loss is on.
        batches: that are loaded.
        rank: of this process, each of which takes batches of its own.

    Attributes:
        model: the detector.
        trained: what makes the step, the detector or a wrapper of it.
    """

    def __init__(
        self,
        cfg: Config,
        dataset: Dataset,
        device: torch.device,
        batch_size: int,
        pose_loss: bool,
        batches: int = 2,
        rank: int = 0,
    ) -> None:
        set_random_seed(0)  # the same samples and draws in each variant
        self.model, self.optimiser = build_training(cfg, device, pose_loss)
        self.trained: nn.Module = self.model
        begin = rank * batches * batch_size
        self.batches = [
            pseudo_collate([dataset[i % len(dataset)] for i in range(first, first + batch_size)])
            for first in range(begin, begin + batches * batch_size, batch_size)
        ]
        self.number = 0

    def __call__(self) -> torch.Tensor:
        """Make a step; returns its loss."""
        data = copy.deepcopy(self.batches[self.number % len(self.batches)])
        self.number += 1
        return self.trained.train_step(data, self.optimiser)['loss'].detach()


def measure_throughput(
    cfg: Config,
    dataset: Dataset,
    device: torch.device | str = 'cpu',
    steps: int = 5,
    warm_up: int = 2,
    batch_size: int = 1,
    pose_loss: bool = False,
) -> dict:
    """Samples a second of a training step, from collated data in the host's memory to new weights.

    The device is waited for at the end alone, as in training; loading is not in it.

    Args:
        cfg: pretraining config.
        dataset: its training data.
        device: where.
        steps: that are timed.
        warm_up: steps before them; compilation happens there.
        batch_size: samples a step.
        pose_loss: whether the pose loss is on.

    Returns:
        ``seconds`` a step, ``samples_per_second``, ``peak_bytes`` (CPU: resident, since the process
        began; GPU: of tensors), ``warm_up_seconds``, and the ``losses`` of the timed steps.
    """
    device = torch.device(device)
    clock = Clock(device)
    step = TrainingSteps(cfg, dataset, device, batch_size, pose_loss)
    if device.type == 'cuda':
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    begin = clock.now()
    for _ in range(warm_up):
        step()
    start = clock.now()
    losses = [step() for _ in range(steps)]
    seconds = (clock.now() - start) / steps
    return dict(
        seconds=seconds,
        samples_per_second=batch_size / seconds,
        peak_bytes=peak_bytes(device),
        warm_up_seconds=start - begin,
        losses=torch.stack(losses).tolist(),
    )


def top_kernels(
    cfg: Config,
    dataset: Dataset,
    device: torch.device | str = 'cpu',
    batch_size: int = 1,
    pose_loss: bool = False,
    number: int = 10,
    warm_up: int = 3,
) -> dict:
    """The costliest kernels (CPU: operators) of one training step.

    Returns:
        ``kernels``: rows of name, calls and seconds; ``kernel_seconds``, of all; ``seconds``, of
        the step under the profiler.
    """
    device = torch.device(device)
    step = TrainingSteps(cfg, dataset, device, batch_size, pose_loss)
    for _ in range(warm_up):
        step()
    clock = Clock(device)
    on_gpu = device.type == 'cuda'
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with profile(activities=activities) as profiler:
        start = clock.now()
        step()
        seconds = clock.now() - start
    rows = []
    for event in profiler.key_averages():
        if on_gpu and event.device_type != torch.autograd.DeviceType.CUDA:
            continue
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        rows.append(dict(name=event.key, calls=event.count, seconds=spent / 1e6))
    rows.sort(key=lambda row: -row['seconds'])
    return dict(
        kernels=rows[:number], kernel_seconds=sum(row['seconds'] for row in rows), seconds=seconds
    )


def host_trips(
    cfg: Config,
    dataset: Dataset,
    device: torch.device | str,
    batch_size: int = 1,
    pose_loss: bool = False,
) -> dict[str, int]:
    """Places at which a training step makes the host wait for the GPU.

    Returns:
        ``file:line`` -> how often in one step, as PyTorch's debug mode for synchronisation reports.

    Raises:
        ValueError: if the device is no GPU.
    """
    device = torch.device(device)
    if device.type != 'cuda':
        raise ValueError(f'Only a GPU is waited for; the device is {device}.')
    step = TrainingSteps(cfg, dataset, device, batch_size, pose_loss)
    for _ in range(2):
        step()
    torch.cuda.synchronize(device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode('default')
    places = Counter(
        f'{w.filename}:{w.lineno}' for w in caught if 'synchroniz' in str(w.message).lower()
    )
    return dict(places.most_common())


def loading_rate(dataset: Dataset, workers: Sequence[int], samples: int = 24) -> dict[int, float]:
    """Samples a second that numbers of loader workers bring, after their start.

    Args:
        dataset: training data.
        workers: numbers of workers to try.
        samples: that are timed for each worker.
    """
    rates = {}
    for number in workers:
        total = (samples + 4) * number
        repeated = Subset(dataset, [i % len(dataset) for i in range(total)])
        loader = DataLoader(
            repeated,
            batch_size=1,
            num_workers=number,
            collate_fn=pseudo_collate,
            prefetch_factor=2,
        )
        with as_in_a_worker():  # workers take OpenCV's threads over, as mmengine sets them
            batches = iter(loader)
        for _ in range(4 * number):
            next(batches)
        start = time.perf_counter()
        for _ in range(samples * number):
            next(batches)
        rates[number] = samples * number / (time.perf_counter() - start)
    return rates
