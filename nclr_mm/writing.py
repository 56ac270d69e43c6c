"""Files that are whole or not there."""

import os
from pathlib import Path

__all__ = ['UnwritableError', 'write_whole']


class UnwritableError(OSError):
    """A file of results cannot be written; the message names it."""


def write_whole(path: str | os.PathLike, content: bytes) -> Path:
    """Write a file at once: a reader sees the old content or all of the new.

    Args:
        path: the file; its folders are made where they are missing.
        content: all of it.

    Returns:
        The path.

    Raises:
        UnwritableError: naming the file; nothing is left of the new content.
    """
    path = Path(path)
    # With the number of the process, for two of them may write the same file.
    partial = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        message = f'{path} cannot be written: {error.strerror}'
        raise UnwritableError(error.errno, message) from error
    return path
