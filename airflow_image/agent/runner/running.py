"""Tells the worker's health check whether tasks run: each holds a lock on a file that both containers share.

The kernel knows who holds a lock: no process needs to be well to say so, and none can forget to release it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

FILE = "tasks.lock"
# A health check holds the file's exclusive lock for a moment.
ATTEMPTS, PAUSE_S = 20, 0.05


@contextlib.contextmanager
def noted(folder: Path) -> Iterator[None]:
    """Hold the lock in the block, and in what this process forks there until that has ended. Never raises OSError."""
    descriptor = note(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def note(folder: Path) -> int | None:
    """Hold the lock until this process and all that it forks have ended, or close the descriptor that is returned.

    Never raises OSError: the task runs anyway.
    """
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY | os.O_CREAT, 0o644)
    except OSError:
        return None
    for _ in range(ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            time.sleep(PAUSE_S)
        else:
            return descriptor
    return descriptor


def is_any(folder: Path) -> bool:
    """Return whether tasks run; also if that cannot be found out."""
    try:
        descriptor = os.open(folder / FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False  # none has run yet
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
