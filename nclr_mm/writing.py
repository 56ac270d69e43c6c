"""Files that are whole or not there."""

import os
import shutil
import threading
from pathlib import Path

__all__ = ['UnwritableError', 'write_whole']


class UnwritableError(OSError):
    """A file of results cannot be written; the message names it."""


def write_whole(path: str | os.PathLike, content: bytes) -> Path:
    """Write a file at once: a reader sees the old content or all of the new.

    A link stays one, to the file that is written; a file that is replaced keeps its mode. Devices
    and pipes are written to.

    Args:
        path: the file; its folders are made where they are missing.
        content: all of it.

    Returns:
        The path.

    Raises:
        UnwritableError: naming the file; nothing is left of the new content.
    """
    path = Path(path)
    target = path.resolve()
    # Two processes or threads may write the same file.
    partial = target.with_name(f'.{os.getpid()}-{threading.get_ident()}.tmp')
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not (target.is_file() or target.is_dir()):
            target.write_bytes(content)
            return path
        try:
            # Not synchronised, unlike checkpoints: there may be ten thousands of small files.
            partial.write_bytes(content)
            if target.is_file():
                shutil.copymode(target, partial)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        message = f'{path} cannot be written: {error.strerror}'
        raise UnwritableError(error.errno, message) from error
    return path
