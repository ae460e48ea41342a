"""Reads from /proc what the processes of the container are to each other, and what memory each has.

A task's process is not dumpable, so its smaps are closed to the runner. The files read here are open to everyone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

PF_FORKNOEXEC = 0x40  # from <linux/sched.h>: it has executed no program since it was forked
MAX_FILE_BYTES = 8192
# Places of the values after the command's name in /proc/PID/stat, see proc(5).
STATE, PARENT, FLAGS, STARTED = 0, 1, 6, 19
OVER = (b"Z", b"X")  # a zombie's memory is free


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """`started`: when, in the kernel's ticks, so that it tells apart two processes that had one number.

    `is_fork`: whether it shares memory with the process that forked it. `is_over`: whether it has ended, and only its
    parent has not asked for the result.
    """

    pid: int
    parent: int
    started: int
    is_fork: bool
    is_over: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Bytes in memory that no file on a disk backs.

    `own`: anonymous memory, also what it shares with its parent since the fork; `shared`: memory that several processes
    may have mapped, such as files in /dev/shm.
    """

    own: int
    shared: int


def processes() -> dict[int, Process]:
    """Return all processes by their id; one that ends meanwhile may be missing."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - a fifth of the time
        if name.isdigit() and (process := _process(name)) is not None:
            found[process.pid] = process
    return found


def _process(name: str) -> Process | None:
    try:
        values = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
    except OSError:
        return None
    return Process(
        pid=int(name),
        parent=int(values[PARENT]),
        started=int(values[STARTED]),
        is_fork=bool(int(values[FLAGS]) & PF_FORKNOEXEC),
        is_over=values[STATE] in OVER,
    )


def held(pid: int) -> Held | None:
    """Return what a process holds; None if it has ended."""
    try:
        status = _read(f"/proc/{pid}/status")
    except OSError:
        return None
    own, shared = _bytes(status, b"RssAnon:"), _bytes(status, b"RssShmem:")
    return None if own is None or shared is None else Held(own=own, shared=shared)


def _bytes(status: bytes, name: bytes) -> int | None:
    _, found, rest = status.partition(name)
    return int(rest.split(None, 1)[0]) * 1024 if found else None


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, MAX_FILE_BYTES)
    finally:
        os.close(descriptor)
