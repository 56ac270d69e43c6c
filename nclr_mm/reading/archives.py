"""Zip archives of programs that compress nothing."""

import os
import zipfile
from typing import IO

__all__ = ['check_archive']


def check_archive(file: IO[bytes]) -> None:
    """Raise ValueError for an archive that unpacks to more than it is, or is none.

    Such are those of `torch.save` and `numpy.savez`. Compressed ones may be a thousand times larger
    than their file.

    Args:
        file: from where it is to its end.
    """
    start = file.tell()
    room = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise ValueError(str(error).lower()) from error
    # The sum, for entries may also lie upon each other.
    size = sum(entry.file_size for entry in entries)
    if size > room or any(entry.file_size != entry.compress_size for entry in entries):
        raise ValueError(f'it is compressed, {room} bytes that unpack to {size}')
