"""Makes a Celery worker hand each workload to the runner instead of forking the task itself.

Celery's pool has threads: each waits for the outcome of one workload.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

from airflow.executors.base_executor import BaseExecutor
from celery.exceptions import Reject
from celery.signals import worker_init

from agent import variables
from agent.runner import protocol
from agent.runner.protocol import Outcome, Request

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 120.0  # the runner listens after some 5 s, on a slow machine after 30 s
CONNECT_EVERY_S = 0.1
RETRY_AFTER_S = 1.0


class RunnerUnavailable(Exception):
    """The runner did not listen in time."""


class SupervisorLost(Exception):
    """The process that supervised a workload died, or raised an error of its own."""


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

    def run(self, request: Request) -> Outcome | None:
        """Run a workload to its end. None: the runner, or the process that supervised it, died. Raises OSError.

        An OSError means that the workload has not begun.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, self._lock:
                socket.send_fds(self._control, [protocol.RUN], [theirs.fileno()])
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died already: there is no outcome
                protocol.send_request(ours, request)
            return protocol.receive_outcome(ours)

    def end_tasks(self) -> None:
        """End all tasks, so that their supervisors report them at once. Raises OSError."""
        with self._lock:
            self._control.send(protocol.END_TASKS)

    def wait_until_lost(self) -> None:
        """Return when the runner has ended."""
        with contextlib.suppress(OSError):
            while self._control.recv(1):
                pass


runner: Runner | None = None


def run_workload(workload: Any, *, subprocess_logs_to_stdout: bool = False, **_: Any) -> int:
    """Replace Airflow's own, which forks here. Raises Reject for a workload that has not begun: it is queued again."""
    if runner is None:
        raise Reject("no runner is connected", requeue=True)
    request = Request(
        workload=workload.model_dump_json(),
        dags_hash=os.environ.get(variables.DAGS_HASH, ""),
        logs_to_stdout=subprocess_logs_to_stdout,
    )
    try:
        outcome = runner.run(request)
    except OSError as error:
        outcome = Outcome(is_started=False, error=type(error).__name__, reason=str(error))
    if outcome is None:
        raise SupervisorLost("the process that supervised the task died")
    if not outcome.is_started:
        time.sleep(RETRY_AFTER_S)
        raise Reject(outcome.reason, requeue=True)
    if outcome.error == "TaskAlreadyRunningError":
        from airflow.sdk.exceptions import TaskAlreadyRunningError

        raise TaskAlreadyRunningError(outcome.reason)
    if outcome.error:
        raise SupervisorLost(f"{outcome.error}: {outcome.reason}")
    return 0


def _stop_when_lost(connected: Runner) -> None:
    connected.wait_until_lost()
    log.critical("fleet: the runner has ended: this worker stops, because no task can start here any more")
    os.kill(os.getpid(), signal.SIGTERM)


def connect(**_: Any) -> None:
    """Connect before the worker takes messages. Raises RunnerUnavailable."""
    global runner
    runner = Runner.connect(Path(os.environ[variables.SHARED_FOLDER]))
    threading.Thread(target=_stop_when_lost, args=(runner,), name="runner", daemon=True).start()


BaseExecutor.run_workload = staticmethod(run_workload)
worker_init.connect(connect)
