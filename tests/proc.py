"""What Linux tells of processes."""

import os
from pathlib import Path

#: memory is read there
HAS_MEMORY = Path('/proc/self/smaps_rollup').exists()


def own_bytes(pid: int) -> int:
    """Memory of a process that it shares with no other."""
    lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith('Private_'))


def shared_bytes(pid: int) -> int:
    """Memory of a process that has no file of its own, as tensors that loaders hand over."""
    lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith('Pss_Shmem'))


def open_files(pid: int) -> int:
    """Number of the files, pipes and sockets that a process has open."""
    return len(os.listdir(f'/proc/{pid}/fd'))


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/children') as file:
            found += map(int, file.read().split())
    return found
