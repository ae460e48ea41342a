"""What a supervisor could carry from one task to the next, besides its memory, which no task can read."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Mapping, Set
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Carried:
    """`files`: what is open, by descriptor, without connections to servers, which may be kept."""

    files: Mapping[int, str]
    environment: Mapping[str, str]
    folder: str
    file_mode: str
    log_handlers: Mapping[str, tuple[logging.Handler, ...]]
    signal_handlers: tuple[object, ...]
    blocked_signals: frozenset[int]
    timer: bool
    threads: frozenset[int | None]

    @classmethod
    def by_this_process(cls, *, but: Set[int] = frozenset()) -> Carried:
        """Return what this process has now, without the descriptors `but`. Raises OSError."""
        return cls(
            files=_open_files(but),
            environment=dict(os.environ),
            folder=os.getcwd(),  # noqa: PTH109 - the name is all that is compared
            file_mode=_file_mode(),
            log_handlers=_log_handlers(),
            signal_handlers=tuple(signal.getsignal(each) for each in SIGNALS),
            blocked_signals=frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            timer=any(signal.getitimer(signal.ITIMER_REAL)),
            threads=frozenset(thread.ident for thread in threading.enumerate()),
        )

    def differs_in(self, other: Carried) -> list[str]:
        """Return the names of what is not the same in both."""
        return [each.name for each in fields(self) if getattr(self, each.name) != getattr(other, each.name)]


SIGNALS = sorted(signal.valid_signals())


def _file_mode() -> str:
    """Return the mode that new files do not get. Only setting another one returns it, so the kernel's file is read."""
    with open("/proc/self/status", "rb") as status:  # noqa: PTH123 - each task's supervisor pays for Path
        return next((line.decode() for line in status if line.startswith(b"Umask:")), "")


def _log_handlers() -> dict[str, tuple[logging.Handler, ...]]:
    """Return the handlers of those loggers that have any, by the loggers' names."""
    loggers = {"": logging.root, **logging.root.manager.loggerDict}
    return {
        name: tuple(each.handlers)
        for name, each in loggers.items()
        if isinstance(each, logging.Logger) and each.handlers
    }


def _open_files(but: Set[int]) -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - each task's supervisor pays for Path
        try:
            file = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except FileNotFoundError:  # that of the folder itself
            continue
        if not (file.startswith("socket:") and _leads_to_a_server(int(name))):
            found[int(name)] = file
    return {descriptor: file for descriptor, file in found.items() if descriptor not in but}


def _leads_to_a_server(descriptor: int) -> bool:
    connection = socket.socket(fileno=descriptor)
    try:
        return connection.family in (socket.AF_INET, socket.AF_INET6)
    finally:
        connection.detach()
