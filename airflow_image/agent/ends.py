"""Records how a task ended that did not end by itself, for Airflow's page that says why a task died.

Only the worker knows it, at that moment. It goes by what the runner tells it, and takes the task from the workload, so
code of a DAG can say nothing about another task.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import redis

from agent import variables
from agent.broker import Outage, connect
from agent.identity import read_task_id
from agent.runner.obsolete import ObsoleteMessageError
from agent.runner.protocol import Outcome
from fleet.ends import DEADLINE, MEMORY, RUNNER, SUPERVISOR, End
from fleet.member import WORKER, member_id
from fleet.registry import Registry

log = logging.getLogger(__name__)

# Of messages for which no task has started, whatever the supervisor says.
NO_ENDS = frozenset({"TaskAlreadyRunningError", ObsoleteMessageError.__name__})

is_at_deadline = threading.Event()
"""Set once the worker ends its tasks because it is stopped."""


@dataclass(frozen=True, kw_only=True)
class Try:
    """A try of a task, as its workload names it."""

    instance: str
    number: int


def try_of(workload: str) -> Try | None:
    """Return the try that a workload is for; None for a workload of another kind."""
    try:
        task = json.loads(workload)["ti"]
        instance, number = task["id"], task["try_number"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_plausible = isinstance(instance, str) and type(number) is int
    return Try(instance=instance, number=number) if is_plausible else None


def end_of(each: Try, outcome: Outcome | None, *, at_deadline: bool, t: float, worker: str) -> End | None:
    """Return how the try ended if it did not end by itself, else None.

    `outcome`: what the runner says; None if it has died, and all of its tasks with it. `at_deadline`: whether the
    worker ends its tasks. One that ends by itself then is taken for ended; a reader knows from its state if it was not.
    """
    if outcome is not None and (not outcome.is_started or outcome.error in NO_ENDS):
        return None
    held = limit = None
    if outcome is None:
        how = RUNNER
    elif outcome.memory_limit is not None:
        how, held, limit = MEMORY, outcome.peak, outcome.memory_limit
    elif at_deadline:
        how = DEADLINE
    elif outcome.error:
        how = SUPERVISOR
    else:
        return None
    error = "" if outcome is None else outcome.error
    return End(
        instance=each.instance, try_number=each.number, t=t, how=how, worker=worker, error=error, held=held, limit=limit
    )


class Ends:
    """Writes the records of one worker. Threads may share it."""

    def __init__(self, registry: Registry, *, pool: str, worker: str) -> None:
        self._registry, self._pool, self._worker = registry, pool, worker
        self._broker = Outage("the broker does not take how tasks ended", log)

    def note(self, workload: str, outcome: Outcome | None, *, at_deadline: bool) -> None:
        """Record the end of a workload, if there is something to say. The task's end waits for no broker that is away.

        Of a broker that does not answer within its connection's limit, the record is lost.
        """
        if outcome is not None and outcome.is_whole and not at_deadline:
            return
        if (each := try_of(workload)) is None:
            return
        try:
            end = end_of(each, outcome, at_deadline=at_deadline, t=self._registry.now(), worker=self._worker)
            if end is not None:
                self._registry.record_end(self._pool, end)
        except redis.RedisError as error:
            self._broker.begin(type(error).__name__)
        else:
            self._broker.end()


@cache
def of_this_worker() -> Callable[..., None]:
    """Return what notes the ends of this process's tasks; nothing is noted where no pool is declared."""
    pool, url = os.environ.get(variables.POOL), os.environ.get(variables.BROKER_URL)
    if not pool or not url or variables.TASK_ARN not in os.environ:
        return lambda *_, **__: None
    worker = member_id(read_task_id(os.environ), WORKER)
    return Ends(Registry(connect(url)), pool=pool, worker=worker).note
