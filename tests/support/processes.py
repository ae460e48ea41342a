"""Find and end the processes below another one, although any of them may end at any moment."""

import contextlib
from typing import Any

import psutil


def below(pid: int) -> list[psutil.Process]:
    """Return the descendants of a process; none when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def end_all_below(pid: int) -> None:
    """Kill the descendants of a process; the process itself goes on."""
    for process in below(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def is_alive(process: psutil.Process) -> bool:
    """Whether the process, and not another one with its number, runs."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def connections(process: psutil.Process) -> list[Any]:
    """Return a process's connections over IPv4; none when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.net_connections("tcp4")
    return []


def arguments(process: psutil.Process) -> list[str]:
    """Return a process's arguments; none when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []
