"""What a piece of code takes of memory."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(mebibytes: float) -> Iterator[None]:
    """Python and NumPy allot no more than this inside."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * 2**20, f'{peak / 2**20:.1f} MiB'
