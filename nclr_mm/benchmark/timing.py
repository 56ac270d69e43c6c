"""Clocks, and a gauge of memory."""

from __future__ import annotations

import gc
import itertools
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ['Clock', 'growth_exponent', 'median_seconds', 'peak_bytes', 'peak_tensor_bytes']


class Clock:
    """Seconds of the parts of each step; waits for the device before it is read.

    Args:
        device: on which the work runs.
    """

    def __init__(self, device: torch.device | str = 'cpu') -> None:
        self.device = torch.device(device)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._last = 0.0

    def now(self) -> float:
        """Seconds, when all that was asked of the device is done."""
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def start(self) -> None:
        """Begin a part."""
        self._last = self.now()

    def stop(self, name: str) -> None:
        """End the part under its name; the next one begins."""
        now = self.now()
        self.seconds[name].append(now - self._last)
        self._last = now

    def medians(self) -> dict[str, float]:
        """Median seconds of each part."""
        return {name: statistics.median(values) for name, values in self.seconds.items()}


def median_seconds(
    call: Callable[[], object],
    repeats: int = 5,
    warm_up: int = 1,
    device: torch.device | str = 'cpu',
) -> float:
    """Median duration of a call in seconds."""
    clock = Clock(device)
    for i in range(warm_up + repeats):
        clock.start()
        call()
        clock.stop('warm-up' if i < warm_up else 'call')
    return clock.medians()['call']


def peak_bytes(device: torch.device | str = 'cpu') -> int:
    """Most memory at once: on a GPU of tensors, on CPUs resident since the process began."""
    device = torch.device(device)
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_tensor_bytes(call: Callable[[], object], device: torch.device | str = 'cpu') -> int:
    """Most bytes of tensors that a call holds at once, beyond those that were there before.

    On CPUs counted by PyTorch's profiler at each allocation, so the number is exact and the same in
    each run; memory that libraries take past PyTorch is not in it.
    """
    device = torch.device(device)
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == '[memory]')
    return max(itertools.accumulate(change for _, change in changes), default=0)


def growth_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Exponent b of the fit ``cost = a size^b``: 1 is linear.

    Least squares of the logarithms.
    """
    slope, _ = np.polyfit(np.log(sizes), np.log(costs), 1)
    return float(slope)
