"""Train by tools/train.py, and be killed at random moments.

    python tests/tools/killing.py CONFIG WORK_DIR KILLS OPTION...

A program of its own, for it forks before it has threads: the package is imported once, and numba
compiles once what samples need.

Starts the tool with --resume in a process, kills it with all its loader workers, starts it again,
and so on; what the process printed is in killed.log. A run that ends goes on in a new folder, until
there were so many kills; the last run is let end. After each start, the files of the run are
checked, and where it began. Prints as JSON the folders of the runs that ended, of each kill how it
came, and of each start that trained the iteration that it went on from.
"""

import importlib.util
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import torch
from mmdet3d.registry import DATASETS
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

ROOT = Path(__file__).resolve().parents[2]

#: A kill comes so many seconds after so many events: steps that began and files that were synced,
#: so that a slow machine is killed at the same places as a fast one. None of them is the start.
EVENTS = 10
WAIT = 0.75
WAIT_FROM_START = 6.0
#: Seconds that a file takes longer to sync, which lets most kills that follow one fall into it.
SYNC = 0.6
#: Seconds after which a process that neither ends nor comes so far hangs.
PATIENCE = 900


def load_tool():
    spec = importlib.util.spec_from_file_location('tool_train', ROOT / 'tools/train.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def warm_up(tool, arguments: list[str]) -> None:
    """Load a sample, in one thread, for copies of a process lack its others."""
    torch.set_num_threads(1)
    sys.argv[1:] = arguments
    cfg = tool.load_config(tool.parse_args())
    init_default_scope(cfg.default_scope)
    DATASETS.build(cfg.train_dataloader.dataset)[0]


class Steps(Hook):
    """Tells of each step that begins."""

    def __init__(self, tell):
        self.tell = tell

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.tell(f'step {runner.iter}')


def train(tool, arguments: list[str], events: Path) -> None:
    """Run the tool, in this process; a line of the file ``events`` is one."""
    file = os.open(events, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sync, build_runner = os.fsync, tool.build_runner

    def tell(event: str) -> None:
        os.write(file, f'{event}\n'.encode())

    def sync_slowly(number: int) -> None:
        tell('sync')
        time.sleep(SYNC)
        sync(number)

    def build_telling_runner(cfg):
        runner = build_runner(cfg)
        runner.register_hook(Steps(tell))
        return runner

    os.fsync, tool.build_runner = sync_slowly, build_telling_runner
    Runner._log_env = lambda self, cfg: None  # asks compilers for their versions, for seconds
    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    sys.argv[1:] = arguments
    tool.main()


def start(tool, arguments: list[str], events: Path) -> int:
    """Train in a process that leads a group of its own; returns its number."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    log = os.open(events.with_name('killed.log'), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    status = 1
    try:
        train(tool, arguments, events)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(pid: int, events: Path, number: float, seconds: float) -> bool:
    """Wait for a number of events, and some seconds; whether the process ended before, well."""
    until, latest = None, time.monotonic() + PATIENCE
    while until is None or time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            assert status == 0, (events.with_name('killed.log')).read_text()[-3000:]
            return True
        if until is None and len(lines(events)) >= number:
            until = time.monotonic() + seconds
        if time.monotonic() > latest:
            os.killpg(pid, signal.SIGKILL)
            sys.exit(f'A process hung: {events}.')
        time.sleep(0.01)
    return False


def lines(path: Path) -> list[str]:
    """Those that are whole."""
    return path.read_text().split('\n')[:-1] if path.is_file() else []


def check_files(folder: Path) -> int:
    """Check that each file under its final name is whole.

    Returns:
        The iteration that the run must go on from.
    """
    saved = {}
    for path in folder.glob('*.pth'):
        saved[str(path)] = torch.load(path, map_location='cpu')['meta']['iter']
        assert path.name == f'iter_{saved[str(path)]}.pth'
    for path in folder.rglob('*.py'):
        compile(path.read_text(), path, 'exec')
    for path in folder.rglob('*.json'):
        # Losses are a log, a line each: one that is cut is the last, and has no end.
        texts = lines(path) if path.parent.name == 'vis_data' else [path.read_text()]
        for text in texts:
            json.loads(text)
    pointer = folder / 'last_checkpoint'
    if not pointer.exists():
        return max(saved.values(), default=0)
    assert pointer.read_text() in saved, f'last_checkpoint names {pointer.read_text()!r}: {saved}'
    return saved[pointer.read_text()]


def check_steps(events: Path, begun: int, saved: int) -> bool:
    """Check that a start went on where it should have; whether it trained.

    Args:
        events: its file.
        begun: iteration of the checkpoint that it had to go on from.
        saved: that of the next start.
    """
    steps = [int(event.split()[1]) for event in lines(events) if event.startswith('step')]
    assert steps == list(range(begun, begun + len(steps))), (events, steps, begun)
    # A step begins when that before it is saved.
    assert begun + max(len(steps) - 1, 0) <= saved <= begun + len(steps), (steps, begun, saved)
    return bool(steps)


def partial_files(folder: Path) -> set[tuple[str, int]]:
    """Files that were not whole when a process ended, by name and time."""
    return {(path.name, path.stat().st_mtime_ns) for path in folder.rglob('*.tmp')}


def main() -> None:
    config, work_dir, wanted, *options = sys.argv[1:]
    tool, draws = load_tool(), random.Random(0)
    folder, begun, starts = Path(work_dir, '0'), 0, 0
    given = ['--resume', '--cfg-options', *options]
    warm_up(tool, [config, '--work-dir', f'{work_dir}/warm', *given])
    runs, kills, resumed = [str(folder)], [], []
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        before = partial_files(folder)
        events = Path(work_dir, f'events{starts}.txt')
        starts += 1
        number, seconds = float('inf'), 0.0
        if len(kills) < int(wanted):
            number = draws.randint(0, EVENTS)
            seconds = draws.uniform(0, WAIT if number else WAIT_FROM_START)
        pid = start(tool, [config, '--work-dir', str(folder), *given], events)
        ended = wait(pid, events, number, seconds)
        if not ended:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            cut = sorted(name for name, _ in partial_files(folder) - before)
            kills.append(dict(events=number, seconds=seconds, cut=cut))
        saved = check_files(folder)
        if check_steps(events, begun, saved):
            resumed.append(begun)
        begun = saved
        if ended and number == float('inf'):
            break
        if ended:
            folder, begun = Path(work_dir, str(len(runs))), 0
            runs.append(str(folder))
    print(json.dumps(dict(runs=runs, kills=kills, began=resumed)))


if __name__ == '__main__':
    main()
