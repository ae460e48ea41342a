"""Forks a task's process before its supervisor begins; Airflow forks it from a supervisor that is ready to start it.

A page that two processes share since a fork is copied when one of them writes to it. So early there is hardly any that
the supervisor has written to, and what it reads afterwards, as the workload's token, is not in the task's memory. The
task's process sets itself up meanwhile, and then waits for the supervisor's first message as any other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

UNEXPECTED = 124  # Airflow's exit code of a task's process that ends in a way that it should not


@dataclass(frozen=True, kw_only=True)
class Channels:
    """One end each of the four connections between a supervisor and its task."""

    stdout: socket.socket
    stderr: socket.socket
    requests: socket.socket
    logs: socket.socket

    @classmethod
    def pairs(cls) -> tuple[Channels, Channels]:
        """Return the supervisor's ends and the task's. Raises OSError."""
        ours, theirs = zip(*(socket.socketpair() for _ in range(4)), strict=True)
        return tuple(cls(stdout=a, stderr=b, requests=c, logs=d) for a, b, c, d in (ours, theirs))  # type: ignore[return-value]

    def close(self) -> None:
        for each in (self.stdout, self.stderr, self.requests, self.logs):
            each.close()


class EarlyTask:
    """The process of the one task that this process will supervise."""

    def __init__(self) -> None:
        self._waiting: tuple[int, Channels] | None = None

    @contextlib.contextmanager
    def forked(self) -> Iterator[None]:
        """Fork the process; if no supervisor has taken it by the end of the block, end it. Raises OSError."""
        ours, theirs = Channels.pairs()
        if (pid := os.fork()) == 0:
            ours.close()
            _run_task(theirs)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # also here: whichever process is faster
        theirs.close()
        self._waiting = pid, ours
        try:
            yield
        finally:
            if (left := self.take()) is not None:
                _end(*left)

    def take(self) -> tuple[int, Channels] | None:
        """Return the process id and the supervisor's ends; None if there is no process, or no longer."""
        waiting, self._waiting = self._waiting, None
        return waiting

    def install(self) -> None:
        """Let Airflow's supervisor take the process instead of forking one.

        Raises AttributeError if Airflow's supervisor is another one than this module was written for.
        """
        import psutil
        from airflow.sdk.execution_time import supervisor

        for name in ("_fork_main", "_subprocess_main"):
            getattr(supervisor, name)
        watched = supervisor.WatchedSubprocess
        start, register = watched.start.__func__, watched._register_pipe_readers

        def start_early(cls: Any, /, *, target: Any = supervisor._subprocess_main, **arguments: Any) -> Any:
            is_task = target is supervisor._subprocess_main and not arguments.get("use_exec")
            if not is_task or (taken := self.take()) is None:
                return start(cls, target=target, **arguments)
            pid, ours = taken
            arguments.pop("use_exec", None)
            logger = arguments.pop("logger", None) or supervisor.structlog.get_logger(logger_name="task").bind()
            process = cls(
                pid=pid,
                stdin=ours.requests,
                process=supervisor.PsutilTracker(psutil.Process(pid)),
                process_log=logger,
                start_time=time.monotonic(),
                **arguments,
            )
            register(process, ours.stdout, ours.stderr, ours.requests, ours.logs, data={})
            return process

        watched.start = classmethod(start_early)


def _run_task(channels: Channels) -> NoReturn:
    """Be the task's process: wait for the supervisor's first message, and run the task."""
    from airflow.sdk.execution_time import supervisor

    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)  # so that a signal to the group reaches all that the task starts
        supervisor._fork_main(
            channels.requests, channels.stdout, channels.stderr, channels.logs.fileno(), supervisor._subprocess_main
        )
    except BaseException:  # noqa: BLE001 - nothing of the runner may go on in this process
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        os._exit(UNEXPECTED)


def _end(pid: int, channels: Channels) -> None:
    """End a process that waits for a supervisor."""
    channels.close()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
