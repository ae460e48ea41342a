"""The worker's end of the connection to the runner."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from agent.runner import protocol
from agent.runner.protocol import Memory, Outcome, Start

CONNECT_TIMEOUT_S = 120.0  # the runner listens before it imports Airflow, on a slow machine after some seconds
CONNECT_EVERY_S = 0.1


class RunnerUnavailable(Exception):
    """The runner did not listen in time."""


class Runner:
    """The control connection to the runner. Threads may share it."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lock = threading.Lock()

    @classmethod
    def connect(cls, folder: Path, *, timeout_s: float = CONNECT_TIMEOUT_S) -> Runner:
        """Wait for the runner that shares `folder`. Raises RunnerUnavailable."""
        deadline = time.monotonic() + timeout_s
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        while True:
            try:
                address, descriptor = protocol.address_in(folder)
                try:
                    control.connect(address)
                    return cls(control)
                finally:
                    os.close(descriptor)
            except OSError as error:
                if time.monotonic() >= deadline:
                    control.close()
                    raise RunnerUnavailable(f"no runner listens in {folder}: {error}") from None
            time.sleep(CONNECT_EVERY_S)

    def run(self, workload: str, *, number: int = 0, dags_hash: str = "") -> Outcome | None:
        """Run a workload, Airflow's JSON, to its end. None: the runner, or the process that supervised it, died.

        Raises OSError, which means that the workload has not begun. `number`: under which `listen` tells of its memory.
        `dags_hash`: of the code that a task runs.
        """
        start = Start(number=number, is_task=protocol.task_of(workload) is not None, dags_hash=dags_hash)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, self._lock:
                socket.send_fds(self._control, [protocol.start_message(start)], [theirs.fileno()])
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died already
                protocol.send_workload(ours, workload)
                return protocol.receive_outcome(ours)
            return protocol.receive_outcome(ours) or protocol.NOT_BEGUN

    def end_tasks(self) -> None:
        """End all tasks, so that their supervisors report them at once. Raises OSError."""
        with self._lock:
            self._control.send(protocol.END_TASKS)

    def close(self) -> None:
        """Close the connection; the runner ends when its last workload has."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # also for threads that wait on it
        self._control.close()

    def listen(self, note: Callable[[Memory], None]) -> None:
        """Pass on what the runner tells of its memory, each second, if it knows its limit. Return when it has ended."""
        with contextlib.suppress(OSError):
            while message := self._control.recv(protocol.MAX_MEMORY_MESSAGE):
                if (memory := protocol.memory_in(message)) is not None:
                    note(memory)
