"""Ends every process below the local stack: orphans become its children, and end with it."""

from __future__ import annotations

import contextlib
import ctypes
import time

import psutil

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
END_TIMEOUT_S = 5.0


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends. Linux only; elsewhere orphans go to init."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> int:
    """Kill every process that is left below this one; return their number."""
    seen: set[int] = set()
    deadline = time.monotonic() + END_TIMEOUT_S
    while (left := _living()) and time.monotonic() < deadline:
        seen |= {process.pid for process in left}
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.05)
    return len(seen)


def _living() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
