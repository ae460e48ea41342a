"""Opens files below a folder, whatever else a task, which can write to it, puts there."""

from __future__ import annotations

import errno
import os


def open_below(folder: str, path: str) -> int:
    """Open the file `path` below `folder` and return its descriptor. Raises OSError, also if one of both is a link."""
    *folders, name = path.split("/")
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for part in folders:
            outer, descriptor = descriptor, _open_folder(part, within=descriptor)
            os.close(outer)
        _refuse_dots(name)
        # A named pipe without a writer would block.
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _open_folder(name: str, *, within: int) -> int:
    _refuse_dots(name)
    return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)


def _refuse_dots(name: str) -> None:
    if name in ("", ".", ".."):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
