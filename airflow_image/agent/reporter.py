"""Reports a container to the fleet while its program runs: a small process beside Airflow's, or a thread.

The process takes 20 MB; a thread is for a program that has loaded what it needs. Beside the DAG processor the process
also bounds that one's logs.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping

import redis

from agent.broker import Outage, registry_of
from agent.identity import Identity, read_identity
from agent.parse_logs import ParseLogs, log_folder
from agent.versions import CodeWatch
from fleet.member import DAG_PROCESSOR, RUNNING
from fleet.registry import Registry

log = logging.getLogger(__name__)

REPORT_EVERY_S = 5.0
CHECK_PARENT_EVERY_S = 1.0
THREAD_ENDS_WITHIN_S = 5.0  # more than two calls of a broker that does not answer
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


class Reporter:
    """Reports `identity` in `state`; `report` never raises when the broker is away."""

    def __init__(self, identity: Identity, registry: Registry, code: CodeWatch, *, state: str = RUNNING) -> None:
        self._identity = identity
        self._state = state
        self._registry = registry
        self._code = code
        self._born = time.monotonic()
        self._started_at: float | None = None  # by Redis's clock, so known after its first answer
        self._broker = Outage("the broker is away", log)

    def report(self) -> None:
        """Report once."""
        try:
            if self._started_at is None:
                self._started_at = self._registry.now() - (time.monotonic() - self._born)
            member = self._identity.member(
                dags_hash=self._code.dags_hash(),
                state=self._state,
                active=0,
                protected=False,
                started_at=self._started_at,
            )
            self._registry.report(member)
        except redis.RedisError as error:
            self._broker.begin(repr(error))
        else:
            self._broker.end()

    def forget(self) -> None:
        """Remove the member if the broker can be reached; otherwise its record expires."""
        with contextlib.suppress(redis.RedisError):
            self._registry.forget(self._identity.member_id)


def run(reporter: Reporter, *, parent: int, chore: Callable[[], None] | None = None) -> None:
    """Report until a signal asks to stop, or until the process has another parent than `parent`.

    `chore`: what else is to be done as often.
    """
    due = time.monotonic()
    while os.getppid() == parent:
        if time.monotonic() >= due:
            due = time.monotonic() + REPORT_EVERY_S
            reporter.report()
            if chore is not None:
                chore()
        if signal.sigtimedwait(STOP_SIGNALS, CHECK_PARENT_EVERY_S):
            break
    reporter.forget()


class ReportingThread:
    """Reports from a thread of a container's program, whether or not the program's own loop gets on.

    A program that is killed stays a member until its record expires.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        identity, registry = read_identity(environment), registry_of(environment)
        self._reporter = Reporter(identity, registry, CodeWatch(environment))
        self._is_to_end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._reporter.report()
            if self._is_to_end.wait(REPORT_EVERY_S):
                break
        self._reporter.forget()

    def end(self) -> None:
        """Report no more; remove the member if the broker answers within THREAD_ENDS_WITHIN_S."""
        self._is_to_end.set()
        self._thread.join(THREAD_ENDS_WITHIN_S)


def main(parent: int) -> None:
    """Run beside the process `parent`, which started this one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # they wait for sigtimedwait
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    identity = read_identity(os.environ)
    chore = ParseLogs(log_folder(os.environ)).bound if identity.role == DAG_PROCESSOR else None
    run(Reporter(identity, registry_of(os.environ), CodeWatch(os.environ)), parent=parent, chore=chore)


if __name__ == "__main__":
    main(int(sys.argv[1]))
