"""Makes Airflow's supervisor of a task beat less often the longer the task runs, and notice the task's end at once.

The supervisor waits for its task in a selector, for at most one heartbeat interval, and a short wait is its only way to
notice an end that no socket tells. With the process itself in the selector, the interval can suit the heartbeats.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import time
from collections.abc import Iterator
from typing import Any

log = logging.getLogger(__name__)

FIRST_S = 5.0  # a task that is shorter sends no heartbeat
# The next heartbeat is due when the task is this much older: someone who marks a young task as failed need not wait.
GROWTH = 0.5
# A task's token is renewed by a request in the last fifth of its life, which is never less than 30 s.
LONGEST_S = 25.0
# Airflow takes a task for dead after a timeout. So many heartbeats fit into it, some of which may be lost.
MIN_BEATS_PER_TIMEOUT = 8


def interval_s(age_s: float, *, timeout_s: float) -> float:
    """Return the seconds between two heartbeats of a task of this age."""
    longest_s = min(LONGEST_S, timeout_s / MIN_BEATS_PER_TIMEOUT)
    return min(longest_s, max(FIRST_S, GROWTH * age_s))


def install() -> None:
    """Pace the supervisors of the processes forked from this one, each of which supervises one task at a time.

    Raises AttributeError if Airflow's supervisor is another one than this module was written for.
    """
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        log.warning("runner: heartbeats stay as frequent as Airflow's setting says: no pidfd here: %r", error)
        return
    # Imported here: nothing else in this module needs Airflow.
    from airflow.sdk.execution_time import supervisor

    shortest_s, timeout_s = supervisor.MIN_HEARTBEAT_INTERVAL, supervisor.HEARTBEAT_TIMEOUT
    activity = supervisor.ActivitySubprocess
    monitor, beat = activity._monitor_subprocess, activity._send_heartbeat_if_needed

    def set_interval(seconds: float) -> None:
        # It is both the shortest time between two heartbeats and the longest wait in the selector.
        supervisor.MIN_HEARTBEAT_INTERVAL = seconds

    def paced_monitor(self: Any) -> None:
        # The server has just been told that the task runs.
        self._last_heartbeat_attempt = self._last_successful_heartbeat
        try:
            with _process_in(self.selector, self.pid, on_exit=lambda: set_interval(shortest_s)):
                monitor(self)
        finally:
            set_interval(shortest_s)  # for the supervisor's next task

    def paced_beat(self: Any) -> None:
        # A task that has told its result sends no heartbeat, but is ended if it goes on for too long.
        age_s = time.monotonic() - self.start_time
        is_over = bool(self._terminal_state)
        set_interval(shortest_s if is_over else max(shortest_s, interval_s(age_s, timeout_s=timeout_s)))
        beat(self)

    activity._monitor_subprocess, activity._send_heartbeat_if_needed = paced_monitor, paced_beat


class _Process:
    """A process as a selector takes it: readable once the process has ended."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


@contextlib.contextmanager
def _process_in(selector: selectors.BaseSelector, pid: int, *, on_exit: Any) -> Iterator[None]:
    """Let the selector of a supervisor wake up when the process ends.

    The supervisor calls the first of a pair when a descriptor is readable; if it returns False, it calls the second
    one, and closes the descriptor.
    """
    try:
        process = _Process(pid)
    except OSError:  # ended and waited for already
        yield
        return

    def ended(_: Any) -> bool:
        on_exit()
        return False

    selector.register(process, selectors.EVENT_READ, (ended, selector.unregister))
    try:
        yield
    finally:
        with contextlib.suppress(KeyError, ValueError, RuntimeError):
            selector.unregister(process)
        process.close()
