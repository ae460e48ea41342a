"""The folder through which documents go from tasks to the sender: bounded, and distrusted by the sender."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agent import variables

NAME = "lineage"  # in the folder that worker and runner share
END = ".json"
# A document has some 5 KB, and one of a task with many datasets some 50.
MOST_DOCUMENT_BYTES = 256 * 1024
# Of both the sender drops the oldest beyond. A task writes none beyond twice the number: then no sender runs.
MOST_WAITING, MOST_BYTES = 2_000, 64 * 1024 * 1024
WHOLE_WITHIN_S = 60.0  # after which a document that is not whole belongs to a task that was killed


class NoRoom(Exception):
    """A document is too large, or too many wait."""


def folder_of(environment: Mapping[str, str]) -> Path:
    """Return the folder. Raises KeyError."""
    return Path(environment[variables.SHARED_FOLDER]) / NAME


def put(folder: Path, document: bytes) -> None:
    """Leave a document to the sender, which sees it when it is whole. Raises NoRoom, OSError."""
    if len(document) > MOST_DOCUMENT_BYTES:
        raise NoRoom(f"the document has {len(document)} bytes, more than {MOST_DOCUMENT_BYTES}")
    folder.mkdir(exist_ok=True)
    if sum(1 for _ in folder.iterdir()) >= 2 * MOST_WAITING:
        raise NoRoom(f"{2 * MOST_WAITING} documents wait to be sent")
    path = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex}"
    try:
        with path.open("xb") as file:
            file.write(document)
        path.rename(path.with_suffix(END))
    except OSError:
        path.unlink(missing_ok=True)
        raise


class Documents:
    """The sender's view of the folder. What is called raises OSError where it does not say otherwise."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def waiting(self) -> list[str]:
        """Return the names of whole documents, the oldest first."""
        return sorted(name for name in self._names() if name.endswith(END))

    def abandoned(self, *, now: float) -> list[str]:
        """Return the names of those that are not whole, and will not be. `now`: seconds since the epoch."""
        names = [name for name in self._names() if not name.endswith(END)]
        return [name for name in names if (found := self._status(name)) and now - found.st_mtime > WHOLE_WITHIN_S]

    def beyond(self, names: Sequence[str]) -> int:
        """Return how many of the first, the oldest, are too many."""
        kept = size = 0
        for name in reversed(names):
            if (found := self._status(name)) is not None:
                size += found.st_size
            if kept >= MOST_WAITING or size > MOST_BYTES:
                break
            kept += 1
        return len(names) - kept

    def take(self, name: str) -> bytes | None:
        """Return what a document holds; None if it is no file of allowed size: a task can put anything there."""
        try:
            # A named pipe without a writer would block.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except OSError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            with os.fdopen(os.dup(descriptor), "rb") as file:
                document = file.read(MOST_DOCUMENT_BYTES + 1)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return document if len(document) <= MOST_DOCUMENT_BYTES else None

    def drop(self, name: str) -> None:
        """Remove a document, or whatever a task has put in its place."""
        try:
            os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):  # the kernel's answers to a folder
            shutil.rmtree(name, dir_fd=self._descriptor)

    def _names(self) -> list[str]:
        return os.listdir(self._descriptor)  # noqa: PTH208 - a path could be exchanged

    def _status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return None


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Documents]:
    """Open the folder for the sender, and make it if there is none. Raises OSError, also if it is a link.

    A task could exchange the folder for a link: what is opened stays what it was.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield Documents(descriptor)
    finally:
        os.close(descriptor)
