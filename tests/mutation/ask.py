"""Ask `serve.py` for a run of the tests.

Prints what pytest exited with, or that it took too long, as a line that `report.py` reads, for
cosmic-ray itself tells success from all else alone. With `--intact`, for the code without a
mutation, all but success ends in a sentence.
"""

import socket
import sys
import time
from pathlib import Path

#: seconds after which the server ends a run
LIMIT = 170


def ask() -> str:
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(Path(__file__).parents[2] / 'mutation.socket'))
        answer = connection.recv(16).decode()
    return answer or ('late' if time.monotonic() - began >= LIMIT else 'no result')


def main() -> int | str:
    try:
        answer = ask()
    except OSError as error:
        answer = f'no answer: {error}'
    if sys.argv[1:] == ['--intact'] and answer != '0':
        return (
            f'error: the tests of geometry ended with {answer!r} on the code as it is, as they '
            'would on every mutation of it: mend them first (python -m pytest tests/geometry).'
        )
    print(f'ended with {answer}')
    return int(answer != '0')


if __name__ == '__main__':
    sys.exit(main())
