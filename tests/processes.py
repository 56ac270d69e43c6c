"""Functions run in several processes that are joined by gloo."""

import multiprocessing
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing import start_processes

#: One process imports these, the others are copies of it.
PRELOADED = ['nclr_mm', 'nclr_mm.apis']


def _join(rank: int, number: int, folder: Path, function, arguments: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=number)
    torch.save(function(*arguments), folder / f'{rank}.pt')
    dist.barrier()
    dist.destroy_process_group()


def run_in_processes(function, number: int, folder: Path, *arguments) -> list:
    """Call a function of a module in joined processes; returns what each of them returned."""
    folder.mkdir()
    multiprocessing.set_forkserver_preload(PRELOADED)
    start_processes(
        _join, (number, folder, function, arguments), nprocs=number, start_method='forkserver'
    )
    return [torch.load(folder / f'{rank}.pt') for rank in range(number)]
