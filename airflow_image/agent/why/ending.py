"""Says why a try of a task ended as it did."""

from __future__ import annotations

from agent.page.words import count
from agent.runner.container_memory import MIB
from agent.why.facts import Attempt, Event, Known
from agent.why.running import short, worker_of
from agent.why.story import Cause, lasting, named, shortened
from fleet.ends import DEADLINE, MEMORY, RUNNER, SUPERVISOR, End

FAILED, UP_FOR_RETRY, RESTARTING = "failed", "up_for_retry", "restarting"
# Names in Airflow's audit log: those of the scheduler, and those of what people do.
HEARTBEAT, STUCK, MISMATCH = "heartbeat timeout", "stuck in queued tries exceeded", "state mismatch"
FAIL_FAST, SKIP_FAST = "fail task", "skip task"
# Each with the field of its text that names the new state: a note is set by the same calls.
BY_HAND = {
    "patch_task_instance": '"new_state"',
    "bulk_task_instances": '"new_state"',
    "patch_task_group_instances": '"new_state"',
    "patch_dag_run": '"state"',
}
EXTRA = "Extra info: "  # before what the executor says, in the text of MISMATCH
SOON_S = 10.0  # between what someone does and the end that it brings about
CLOCKS_S = 1.0  # by which two containers' clocks may differ
LOG = "Read the end of its log: the tab Logs."


def why_died(known: Known, attempt: Attempt) -> Cause:
    """Return why a try failed: what was recorded of it, else what the database says."""
    if (end := known.ends.get(attempt.instance)) is not None and end.how in _OF_RECORD:
        return _OF_RECORD[end.how](end)
    for cause in (_by_scheduler(known, attempt), _by_hand(known, attempt), _by_limit(known, attempt)):
        if cause is not None:
            return cause
    if attempt.started_at is None:
        return _never_started(known)
    if known.instance.pokes and known.task is not None and not known.task.is_sensor:
        return Cause(
            name="dag_missing_on_worker",
            parts=(
                f"its worker did not find the DAG or the task in the DAG file, {count(known.instance.pokes, 'time')} "
                "in a row. The version of the DAG that the run uses may be lost, or the file fails there.",
            ),
            advice=(LOG, "Run the DAG again: a new run uses the present version."),
        )
    ran = f" after {lasting(attempt.ended_at - attempt.started_at)}" if attempt.ended_at is not None else ""
    return Cause(name="own", parts=(f"its own code failed{ran}.",), advice=(LOG,))


def _memory(end: End) -> Cause:
    held = f" It held {_mib(end.held)}" if end.held is not None else ""
    limit = f"; all tasks of a worker have {_mib(end.limit)} together" if held and end.limit is not None else ""
    return Cause(
        name="memory",
        parts=(f"it was ended because its worker {short(end.worker)} ran out of memory.{held}{limit}.",)
        if held
        else (f"it was ended because its worker {short(end.worker)} ran out of memory.",),
        advice=("Let the task handle less at once, or run it in a pool with larger workers (docs/pools.md).",),
    )


def _deadline(end: End) -> Cause:
    return Cause(
        name="stop_deadline",
        parts=(
            f"its worker {short(end.worker)} was stopped from outside, and the task was ended when the time for that "
            "was up. AWS took a Spot worker back, retired its platform, or someone stopped the ECS task.",
        ),
        advice=(
            "Give the task retries. A task that must not be stopped belongs in a pool without Spot (docs/pools.md).",
        ),
    )


def _supervisor(end: End) -> Cause:
    error = f" ({named(end.error)})" if end.error else ""
    return Cause(
        name="supervisor",
        parts=(f"the process that supervised it on worker {short(end.worker)} died or failed{error}.",),
        advice=("The worker's log says more (the container runner). Give the task retries.",),
    )


def _runner(end: End) -> Cause:
    return Cause(
        name="runner",
        parts=(f"all tasks' processes on its worker {short(end.worker)} died at once.",),
        advice=("The worker's log says more (the container runner). Give the task retries.",),
    )


_OF_RECORD = {MEMORY: _memory, DEADLINE: _deadline, SUPERVISOR: _supervisor, RUNNER: _runner}


def _mib(held: int | None) -> str:
    return f"{(held or 0) / MIB:,.0f} MiB"


def _by_scheduler(known: Known, attempt: Attempt) -> Cause | None:
    events = [event for event in known.events if not event.is_of_run and _is_of(event, attempt)]
    by_name = {event.name: event for event in events}
    if HEARTBEAT in by_name:
        return _heartbeat_lost(known, attempt)
    if STUCK in by_name:
        return Cause(
            name="stuck_in_queue",
            parts=("it was queued for too long, again and again, and no worker took it.",),
            advice=("Look at its pool of workers on the Fleet page. MaxTaskWaitMinutes sets how long it may wait.",),
        )
    if FAIL_FAST in by_name:
        return Cause(
            name="fail_fast",
            parts=("another task of the run failed, and the DAG has `fail_fast`.",),
            advice=("Look at the task that failed first.",),
        )
    if MISMATCH in by_name:
        _, _, info = by_name[MISMATCH].text.partition(EXTRA)
        told = f": {shortened(info).rstrip('.')}" if info and info != "None" else ""
        return Cause(
            name="executor",
            parts=(f"the executor reported its end, and the task itself had not{told}.",),
            advice=("Its worker, or the way to it, failed. Give the task retries.",),
        )
    return None


def _heartbeat_lost(known: Known, attempt: Attempt) -> Cause:
    is_there = worker_of(attempt, known.fleet.workers) is not None
    host = f" ({named(attempt.host)})" if attempt.host else ""
    silent = lasting(known.heartbeat_timeout_s)
    if is_there or known.fleet.trouble:
        return Cause(
            name="heartbeat_lost",
            parts=(
                f"it was not heard of for {silent}: it, or its worker{host}, hung, or had no way to the webserver.",
            ),
            advice=(LOG, "Look at the webserver's load, and at the task's own use of memory and processor."),
        )
    return Cause(
        name="worker_lost",
        parts=(
            f"its worker{host} is gone, and the task was not heard of for {silent}. The ECS "
            "task died, or AWS took it back at once.",
        ),
        advice=("Look at the ECS task's stopped reason. Give the task retries: they begin after this time.",),
    )


def _by_hand(known: Known, attempt: Attempt) -> Cause | None:
    ended = attempt.ended_at
    for event in known.events:
        is_near = ended is None or -CLOCKS_S <= ended - event.t <= SOON_S
        if event.name in BY_HAND and BY_HAND[event.name] in event.text and is_near:
            what = "the whole run" if event.is_of_run else "it"
            return Cause(
                name="by_hand",
                parts=(f"someone set {what} to this state at ", event.t, "."),
                advice=("The tab Audit Log says who.",),
            )
    return None


def _by_limit(known: Known, attempt: Attempt) -> Cause | None:
    limit_s = known.task.execution_timeout_s if known.task else None
    if attempt.started_at is None or attempt.ended_at is None:
        return None
    ran_s = attempt.ended_at - attempt.started_at
    if limit_s is not None and ran_s >= limit_s - CLOCKS_S:
        return Cause(
            name="timeout",
            parts=(f"it ran for {lasting(ran_s)}, and its `execution_timeout` is {lasting(limit_s)}.",),
            advice=("Raise the task's execution_timeout, or let it do less.", LOG),
        )
    if known.instance.next_method == "__fail__" or _is_trigger_late(known, attempt):
        return Cause(
            name="trigger_timeout",
            parts=("what it waited for in the triggerer did not come in time.",),
            advice=("Raise the timeout with which it defers.", LOG),
        )
    return None


def _is_trigger_late(known: Known, attempt: Attempt) -> bool:
    until = known.instance.trigger_timeout_at
    return until is not None and attempt.ended_at is not None and attempt.ended_at >= until


def _never_started(known: Known) -> Cause:
    if known.dag.import_error_at is not None:
        return Cause(
            name="import_error",
            parts=("it never started, and its DAG file cannot be imported since ", known.dag.import_error_at, "."),
            advice=("The start page shows the import error. `make test-dags` finds it before a deployment.",),
        )
    return Cause(
        name="not_started",
        parts=("it never started: it was set so before a worker took it.",),
        advice=("The tab Audit Log says what set it.",),
    )


def _is_of(event: Event, attempt: Attempt) -> bool:
    return event.try_number in (None, attempt.number)
