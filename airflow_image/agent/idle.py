"""Ends the pause of an idle scheduler as soon as Airflow's database has something for it to do.

After a loop that did nothing Airflow's scheduler sleeps for `scheduler_idle_sleep_time`, 1 s. A run of one task on an
idle system meets two such pauses: one before its start, one after the task's end. Short pauses would end that, but a
loop makes some 20 queries. One small query finds out whether a loop is worth it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

POLL_EVERY_S = 0.1
# The polls may take this share of the time: each counts tasks, of which thousands may wait.
POLLS_SHARE = 0.02
# What the loops after pauses that ended early may use of a processor, in the long run and at once. While tasks end all
# the time, a loop for each would cost more than the tasks gain: most of them free a slot for which messages wait.
LOOPS_SHARE = 0.03
LOOPS_AT_ONCE_S = 0.3
# A new run; a run to start; the end of a task, or its retry or deferral; a task to queue, as when its trigger has
# fired. What is not here, such as a run that becomes due, is found after the whole pause.
STATE = """
SELECT (SELECT max(id) FROM dag_run),
       (SELECT count(*) FROM dag_run WHERE state = 'queued'),
       (SELECT count(*) FROM task_instance WHERE state IN ('queued', 'running', 'restarting')),
       (SELECT count(*) FROM task_instance WHERE state = 'scheduled')
"""

State = tuple[Any, ...]


class Pauses:
    """The pauses of one scheduler. `read` returns what the loops depend on; None if it is unknown.

    A pause compares with the state that ended the last one early. So what happens during the loops in between ends the
    next pause, if only to find that it was their own work.
    """

    def __init__(
        self,
        read: Callable[[], State | None],
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.thread_time,
    ) -> None:
        self._read, self._sleep, self._now, self._used = read, sleep, now, used
        self._known: State | None = None
        self._has_ended_early = False
        self._ended_at, self._used_s = now(), used()
        self._budget_s = LOOPS_AT_ONCE_S  # of processor time

    def pause(self, seconds: float) -> None:
        """Sleep for so long, or until the state changes, if the budget allows it."""
        began = self._now()
        self._charge(began)
        self._has_ended_early = self._wait(began + seconds)
        self._ended_at, self._used_s = self._now(), self._used()
        self._budget_s += LOOPS_SHARE * (self._ended_at - began)

    def _charge(self, now: float) -> None:
        """Count what the loops since the last pause have used."""
        self._budget_s += LOOPS_SHARE * (now - self._ended_at)
        if self._has_ended_early:
            self._budget_s -= self._used() - self._used_s
        self._budget_s = min(LOOPS_AT_ONCE_S, self._budget_s)

    def _wait(self, until: float) -> bool:
        """Wait; return whether the state has changed before."""
        wait_s = max(POLL_EVERY_S, -self._budget_s / LOOPS_SHARE)
        while (left_s := until - self._now()) > wait_s:
            self._sleep(wait_s)
            began = self._now()
            state = self._read()
            if state is not None and state != self._known:
                self._known = state
                return True
            wait_s = max(POLL_EVERY_S, (self._now() - began) / POLLS_SHARE)
        self._sleep(max(0.0, left_s))
        return False


def read_state() -> State | None:
    """Return what STATE asks for; None if the database does not answer."""
    from airflow import settings
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        # Without a transaction, which would be two more round trips.
        with settings.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return tuple(connection.execute(text(STATE)).one())
    except SQLAlchemyError:  # the next loop meets it, too
        return None


def install() -> None:
    """Let the scheduler of this process pause so. Raises AttributeError if its module does not use `time`."""
    # Imported here: nothing else in this module needs Airflow's scheduler.
    from airflow.jobs import scheduler_job_runner

    clock = vars(scheduler_job_runner.time)
    scheduler_job_runner.time = SimpleNamespace(**{**clock, "sleep": Pauses(read_state).pause})
