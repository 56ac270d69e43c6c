"""What a second process brings on a machine of CPUs."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel
from mmengine.utils import import_modules_from_strings
from torch import nn

from .step import build_dataset
from .timing import Clock
from .variants import TrainingSteps

__all__ = ['process_rates']


def process_rates(
    cfg: Config,
    processes: Sequence[int],
    steps: int = 5,
    warm_up: int = 2,
    batch_size: int = 1,
    pose_loss: bool = False,
) -> dict[int, float]:
    """Samples a second that processes of one thread each train, joined by gloo.

    Each process steps through samples of its own, as in distributed training; a step ends when the
    slowest has it done. Loading is not in it.

    Args:
        cfg: pretraining config.
        processes: numbers of processes to try; with one, the model is not wrapped.
        steps: that are timed.
        warm_up: steps before them.
        batch_size: samples of each process a step.
        pose_loss: whether the pose loss is on.

    Returns:
        Number of processes -> samples a second of all together.
    """
    rates = {}
    for number in processes:
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / 'seconds'
            mp.spawn(
                _train,
                (number, folder, cfg, steps, warm_up, batch_size, pose_loss, result),
                nprocs=number,
            )
            rates[number] = number * batch_size * steps / float(result.read_text())
    return rates


def _train(
    rank: int,
    number: int,
    folder: str,
    cfg: Config,
    steps: int,
    warm_up: int,
    batch_size: int,
    pose_loss: bool,
    result: Path,
) -> None:
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel(logging.WARNING)  # else a line for each weight
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=number)
    step = TrainingSteps(
        cfg, build_dataset(cfg), torch.device('cpu'), batch_size, pose_loss, rank=rank
    )
    if number > 1:
        options = dict(cfg.get('model_wrapper_cfg') or {})
        options.pop('type', None)
        step.trained = MMDistributedDataParallel(
            step.model, **{'broadcast_buffers': False, **options, 'device_ids': None}
        )
    for _ in range(warm_up):
        step()
    dist.barrier()
    clock = Clock()
    start = clock.now()
    for _ in range(steps):
        step()
    dist.barrier()
    seconds = clock.now() - start
    check_same_weights(step.model)
    if rank == 0:
        result.write_text(str(seconds))
    # No process may end while another still waits for what it sent.
    dist.monitored_barrier()
    dist.destroy_process_group()


def check_same_weights(model: nn.Module) -> None:
    """Raise RuntimeError where the processes have trained models of their own."""
    own = sum(float(p.detach().double().abs().sum()) for p in model.parameters())
    sums: list[float] = [0.0] * dist.get_world_size()
    dist.all_gather_object(sums, own)
    if not math.isclose(min(sums), max(sums), rel_tol=1e-9):
        raise RuntimeError(f'The processes did not train one model; sums of weights: {sums}.')
