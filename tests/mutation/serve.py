"""Run the tests of geometry on the code as it is now, once for each question of `ask.py`.

    python tests/mutation/serve.py COMMAND

Answers until the command ends.

Importing what the tests stand on takes longer than most of them; here each run is a copy of a
process that has it. The package itself is imported anew, its `geometry` alone.
"""

import contextlib
import os
import signal
import socketserver
import subprocess
import sys
import threading
import types
from pathlib import Path

import cv2  # noqa: F401 (for the copies)
import hypothesis  # noqa: F401
import numpy  # noqa: F401
import pytest
import scipy.spatial.transform  # noqa: F401
import sklearn.metrics  # noqa: F401
import torch
from ask import LIMIT

ROOT = Path(__file__).parents[2]
SOCKET = ROOT / 'mutation.socket'
#: the quick ones first, for the first that fails ends the run
TESTS = [
    str(ROOT / f'tests/geometry/test_{name}.py')
    for name in ('rigid', 'camera', 'overlap', 'precision', 'properties', 'docstrings', 'epnp')
]


class Run(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        signal.alarm(LIMIT)
        torch.set_num_threads(1)
        package = types.ModuleType('nclr_mm')
        package.__path__ = [str(ROOT / 'nclr_mm')]
        sys.modules['nclr_mm'] = package
        sys.dont_write_bytecode = True
        options = ['-x', '-q', '-p', 'no:cacheprovider', '-p', 'no:xdist', '--hypothesis-seed=0']
        with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):
            code = pytest.main([*TESTS, *options])
        self.request.sendall(str(int(code)).encode())


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    max_children = 2


def main() -> int:
    SOCKET.unlink(missing_ok=True)
    os.chdir(ROOT)
    with Server(str(SOCKET), Run) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = subprocess.run(sys.argv[1:]).returncode
        server.shutdown()
    return code


if __name__ == '__main__':
    sys.exit(main())
