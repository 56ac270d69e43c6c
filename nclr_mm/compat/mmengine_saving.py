"""mmengine: a run that is killed while it saves cannot be resumed.

Fault: the local backend writes checkpoints, and what `mmengine.dump` writes, under their final
names, so that a half-written one looks like a whole one; so does `Config.dump`. `last_checkpoint`,
by which a run is resumed, is emptied and then written; it holds a path as it was, so that a folder
that was moved is not resumed either.

Files are written beside, then renamed. Where `last_checkpoint` names no file, the newest checkpoint
of the folder is taken.

Holds for: mmengine up to 0.10.7.
"""

import inspect
import os
import re
from pathlib import Path

import mmengine.runner
from mmengine.config import Config
from mmengine.fileio.backends import LocalBackend
from mmengine.logging import print_log
from mmengine.runner import _flexible_runner, checkpoint, runner

__all__ = ['apply', 'newest_checkpoint', 'put']

_CHECKPOINT = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


def put(self: LocalBackend, obj: bytes, filepath: str | Path) -> None:
    """Write bytes to a file, at once: it holds the old content or all of the new.

    Raises:
        OSError: naming the file, if it cannot be written; the old content stays.
    """
    path = Path(filepath)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of one name, so that what a killed process leaves is overwritten by the next.
    partial = path.with_name(f'{path.name}.tmp')
    try:
        with partial.open('wb') as file:
            file.write(obj)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def put_text(self: LocalBackend, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
    """Write text to a file, at once."""
    put(self, obj.encode(encoding), filepath)


_dump_config = Config.dump


def dump_config(self: Config, file: str | Path | None = None) -> str | None:
    """Write a config to a file, at once, or give its text where no file is named."""
    if file is None or Path(file).suffix != '.py':
        return _dump_config(self, file)  # other forms go through the backend
    put(LocalBackend(), self.pretty_text.encode(), file)
    return None


def newest_checkpoint(path: str) -> str | None:
    """The checkpoint that a run in the folder goes on from; None, if there is none.

    That which ``last_checkpoint`` names, if it is there, else that of the folder with the highest
    number.
    """
    folder = Path(path)
    pointer = folder / 'last_checkpoint'
    named = pointer.read_text().strip() if pointer.is_file() else ''
    if named and Path(named).is_file():
        return named
    found = {}
    for file in folder.glob('*.pth'):
        match = _CHECKPOINT.fullmatch(file.name)
        if match:
            found[int(match[1])] = str(file)
    if not found:
        print_log(f'There is no checkpoint in {folder} to go on from.', 'current')
        return None
    newest = found[max(found)]
    print_log(f'{pointer} names no checkpoint that is there; taking {newest}.', 'current')
    return newest


def apply() -> None:
    """Replace the functions at fault; those of another version are left."""
    if 'open(filepath' in inspect.getsource(LocalBackend.put):
        LocalBackend.put = put
        LocalBackend.put_text = put_text
    if 'open(file' in inspect.getsource(Config.dump):
        Config.dump = dump_config
    # Each of them has the function under its own name.
    for module in (mmengine.runner, checkpoint, runner, _flexible_runner):
        module.find_latest_checkpoint = newest_checkpoint
