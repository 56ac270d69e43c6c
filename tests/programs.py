"""Programs of Python that start within a second, for what they import has been imported before."""

import multiprocessing
import os
import random
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from tests.conftest import REPO
from tests.processes import PRELOADED


def _execute(script: str, arguments: list[str], folder: str, env: dict, outputs: list[str]) -> None:
    for stream, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY), stream)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    np.random.seed()  # noqa: NPY002 (not as all other copies)
    torch.seed()
    random.seed()
    torch.set_num_threads(int(env['OMP_NUM_THREADS']))
    paths = env.get('PYTHONPATH')
    sys.path[:0] = [str(Path(script).parent), *(paths.split(os.pathsep) if paths else ())]
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name='__main__')


def run_program(
    *command: object,
    cwd: str | os.PathLike = REPO,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> subprocess.CompletedProcess:
    """Run a script with arguments as ``subprocess.run`` would, in a copy of a process.

    That has imported the package, which takes an interpreter of its own eight seconds. It has also
    looked for a GPU, after which copies cannot use one: where there is one, an interpreter starts.

    Args:
        command: the script, relative to ``cwd`` unless absolute, and its arguments.
        cwd: working directory.
        env: all its variables; those of this process, with one thread, where not given.
        timeout: seconds until it is killed.

    Returns:
        Its exit code and, as text, what it wrote.

    Raises:
        subprocess.TimeoutExpired: after it was killed.
    """
    script, *arguments = map(str, command)
    env = dict(env or os.environ)
    env.setdefault('OMP_NUM_THREADS', '1')
    if torch.cuda.is_available():
        return subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=cwd,
            env=env,
            timeout=timeout,
            capture_output=True,
            text=True,
        )
    multiprocessing.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ('stdout', 'stderr')]
        for path in outputs:
            path.touch()
        process = multiprocessing.get_context('forkserver').Process(
            target=_execute,
            args=(str(Path(cwd, script)), arguments, str(cwd), env, list(map(str, outputs))),
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        texts = [path.read_text() for path in outputs]
    return subprocess.CompletedProcess([script, *arguments], process.exitcode, *texts)
