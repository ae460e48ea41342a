"""Hands each workload of a Celery worker to the runner, which forks the task.

Celery's pool has threads: each waits for the outcome of one workload.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from celery.exceptions import Ignore, Reject
from celery.signals import worker_init

from agent import ends, variables
from agent.admission import admission
from agent.left_behind import tally
from agent.runner.client import Runner, RunnerUnavailable
from agent.runner.memory_report import in_mib
from agent.runner.obsolete import ObsoleteMessageError
from agent.runner.protocol import Outcome, name_of, task_of

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1.0


class SupervisorLost(Exception):
    """The process that supervised a workload died, or raised an error of its own."""


runner: Runner | None = None


def run_workload(workload: str) -> None:
    """Let the runner run a workload, Airflow's JSON, and wait for its end.

    Raises Reject for a workload that has not begun, so that it is queued again; Ignore for one that must not;
    SupervisorLost.
    """
    if runner is None:
        raise Reject("no runner is connected", requeue=True)
    outcome = _run(runner, workload)
    ends.of_this_worker()(workload, outcome, at_deadline=ends.is_at_deadline.is_set())
    if outcome is None:
        raise SupervisorLost("the runner died, or could not tell how the task ended")
    if outcome.left_behind:
        tally.add(outcome.left_behind, task=name_of(workload))
    if outcome.memory_limit is not None:
        log.warning(
            "fleet: out of memory: the task %s is ended, which held %s", name_of(workload), in_mib(outcome.peak or 0)
        )
    if not outcome.is_started:
        time.sleep(RETRY_AFTER_S)
        raise Reject(outcome.reason, requeue=True)
    if outcome.error == "TaskAlreadyRunningError":
        # A failure as the result of this message would end the task where it runs.
        log.info("fleet: a message was delivered again, and its task runs already: %s", outcome.reason)
        raise Ignore
    if outcome.error == ObsoleteMessageError.__name__:
        log.warning("fleet: a message is obsolete, and no task starts for it: %s", outcome.reason)
        raise Ignore
    if outcome.error:
        raise SupervisorLost(f"{outcome.error}: {outcome.reason}")


def _run(connected: Runner, workload: str) -> Outcome | None:
    """Run the workload, and learn its task's peak."""
    number = admission.begin(task_of(workload))
    outcome: Outcome | None = None
    try:
        outcome = connected.run(workload, number=number, dags_hash=os.environ.get(variables.DAGS_HASH, ""))
    except OSError as error:
        outcome = Outcome(is_started=False, error=type(error).__name__, reason=str(error))
    finally:
        admission.end(number, outcome)
    return outcome


def _stop_when_lost(connected: Runner) -> None:
    connected.listen(admission.measured)
    log.critical("fleet: the runner has ended: this worker stops, because no task can start here any more")
    os.kill(os.getpid(), signal.SIGTERM)


def connect(**_: Any) -> None:
    """Connect before the worker takes messages, or end it: it could only return them.

    Celery would log an error of a signal's receiver, and go on.
    """
    global runner
    try:
        runner = Runner.connect(Path(os.environ[variables.SHARED_FOLDER]))
    except RunnerUnavailable as error:
        raise SystemExit(f"fleet: this worker ends, and ECS starts another: {error}") from None
    threading.Thread(target=_stop_when_lost, args=(runner,), name="runner", daemon=True).start()


worker_init.connect(connect)
