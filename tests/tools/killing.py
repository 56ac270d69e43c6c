"""Train, and be killed at random moments; a program of its own, for it forks before it has threads.

    python tests/tools/killing.py CONFIG WORK_DIR KILLS OPTIONS

Starts the run of a config in a process, kills it with all its loader workers, starts it again, and
so on; what the process printed is in WORK_DIR/killed.log. A run that ends goes on in a new folder,
until there were so many kills; the last run is let end. Prints the folders of the runs that ended,
and after how many seconds each kill came, as JSON.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner

import nclr_mm  # noqa: F401 (registers the components)

#: seconds until a kill: building the model, loading the checkpoint and some steps
WAIT = (0.5, 8.0)


def train(cfg: Config, folder: Path) -> None:
    """Train to the end, in this process."""
    cfg.work_dir = str(folder)
    cfg.resume = True
    Runner.from_cfg(cfg).train()


def start(cfg: Config, folder: Path) -> int:
    """Train in a process that leads a group of its own; returns its number."""
    folder.mkdir(parents=True, exist_ok=True)
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    log = os.open(folder / 'killed.log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    status = 1
    try:
        train(cfg, folder)
        status = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def check_files(folder: Path) -> None:
    """Each checkpoint is whole, and the one to go on from is there."""
    for path in folder.glob('*.pth'):
        torch.load(path, map_location='cpu')


def check_ended(pid: int, folder: Path, options: int) -> bool:
    """Whether the process has ended, as it should have."""
    ended, status = os.waitpid(pid, options)
    if ended and status:
        sys.exit(f'A run of {folder} failed:\n{(folder / "killed.log").read_text()[-3000:]}')
    return bool(ended)


def main() -> None:
    config, work_dir, kills = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(json.loads(sys.argv[4]))
    draws = random.Random(0)
    runs, seconds = [work_dir / '0'], []
    while len(seconds) < kills:
        pid = start(cfg, runs[-1])
        wait = draws.uniform(*WAIT)
        time.sleep(wait)
        if check_ended(pid, runs[-1], os.WNOHANG):
            runs.append(work_dir / str(len(runs)))
            continue
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        seconds.append(wait)
        check_files(runs[-1])
    check_ended(start(cfg, runs[-1]), runs[-1], 0)
    print(json.dumps(dict(runs=[str(run) for run in runs], seconds=seconds)))


if __name__ == '__main__':
    main()
