"""Says where a task runs, and what is to be known of its worker; or that it waits in the triggerer."""

from __future__ import annotations

from collections.abc import Iterable

from agent.page.words import count
from agent.why.facts import Attempt, Known
from agent.why.story import DIED, RUNS, WAITS, Cause, Line, Story, lasting, named, shortened
from fleet.member import DRAINING, Member, task_of

LATE_HEARTBEAT_S = 60.0  # a task reports every few seconds
TRIGGERER_SILENT_AFTER_S = 60.0  # it reports every few seconds
SHOWN_OF_ID = 8
CLOCKS_S = 5.0


def worker_of(attempt: Attempt, workers: Iterable[Member]) -> Member | None:
    """Return the live worker that runs the try. An address can be another worker's later."""
    for worker in workers:
        is_old_enough = attempt.started_at is None or worker.started_at <= attempt.started_at + CLOCKS_S
        if attempt.host and worker.host == attempt.host and is_old_enough:
            return worker
    return None


def short(member: str) -> str:
    """Return the beginning of a member's id, as the Fleet page and ECS's console show it."""
    return named(task_of(member)[:SHOWN_OF_ID])


def of_running(known: Known) -> Story:
    """Tell of a task that runs."""
    attempt = known.instance.attempt
    worker = worker_of(attempt, known.fleet.workers)
    beat = known.instance.heartbeat_at
    # A task reports first some seconds after its start.
    last_heard = max((t for t in (beat, attempt.started_at) if t is not None), default=None)
    silent_s = 0.0 if last_heard is None else known.now - last_heard
    where = f" on worker {short(worker.id)}" if worker else f" on {named(attempt.host)}" if attempt.host else ""
    ran = "" if attempt.started_at is None else f" for {lasting(known.now - attempt.started_at)}"
    lines = tuple(_of_worker(known, worker)) if worker else ()
    if silent_s > LATE_HEARTBEAT_S and last_heard is not None:
        return _silent(known, worker, last_heard=last_heard, where=where)
    cause = "running"
    if worker is not None and worker.state == DRAINING:
        cause = "draining_worker"
    elif worker is not None and known.fleet.webserver is not None and _is_older(worker, known):
        cause = "older_code"
    return Story(kind=RUNS, cause=cause, headline=(f"Runs{where}{ran}.",), lines=lines)


def _silent(known: Known, worker: Member | None, *, last_heard: float, where: str) -> Story:
    ends_at = last_heard + known.heartbeat_timeout_s
    is_lost = worker is None and not known.fleet.trouble
    why = f"its worker{where.removeprefix(' on worker')} is gone" if is_lost else f"it runs{where}, but does not report"
    rest = f"{'a retry follows' if _has_retries(known) else 'it fails'} if it is not heard of before "
    return Story(
        kind=DIED if is_lost else RUNS,
        cause="worker_lost" if is_lost else "heartbeat_late",
        headline=(
            "Has died, most likely: " if is_lost else "Runs, or has died: ",
            f"{why}. It last reported at ",
            last_heard,
            f"; {rest}",
            ends_at,
            ".",
        ),
        advice=("Look at the last lines of its log." if is_lost else "Look at its worker's load on the Fleet page.",),
    )


def _of_worker(known: Known, worker: Member) -> Iterable[Line]:
    if worker.state == DRAINING:
        text = f"Its worker drains: it takes no new tasks, and waits for the {count(worker.active, 'task')} it has."
        yield Line(t=None, parts=(f"{text} Nothing ends this task.",))
    if known.fleet.webserver is not None and _is_older(worker, known):
        version = named(worker.image_version) if worker.image_version else "unknown"
        text = f"Its worker has other code than the webserver: image {version}."
        yield Line(t=None, parts=(f"{text} The task keeps the code with which it began.",))
    if worker.slots < worker.declared_slots:
        text = f"Memory is short on its worker: it takes {worker.slots:,} of {count(worker.declared_slots, 'slot')}."
        yield Line(t=None, parts=(text,))


def _is_older(worker: Member, known: Known) -> bool:
    code = known.fleet.webserver
    return code is not None and all((code.image_version, worker.image_version)) and worker.code != code


def _has_retries(known: Known) -> bool:
    return known.instance.attempt.number <= known.instance.max_tries


def of_deferred(known: Known) -> Story:
    """Tell of a task that waits in the triggerer, without a worker."""
    trigger = known.trigger
    if trigger is None:
        return Story(
            kind=WAITS, cause="trigger_gone", headline=("Deferred: its trigger has fired; it is queued again soon.",)
        )
    cause = of_trigger(known)
    until = known.instance.trigger_timeout_at
    limit = (
        () if until is None else (Line(t=None, parts=("It fails if the trigger has not fired before ", until, ".")),)
    )
    started = (
        ()
        if trigger.created_at is None
        else (
            Line(
                t=trigger.created_at, parts=(f"It began to wait for {named(_last(trigger.name))}, without a worker.",)
            ),
        )
    )
    return Story(
        kind=WAITS, cause=cause.name, headline=("Waits: ", *cause.parts), lines=(*started, *limit), advice=cause.advice
    )


def of_trigger(known: Known) -> Cause:
    """Say whether a triggerer watches what the task waits for."""
    trigger = known.trigger
    name = named(_last(trigger.name)) if trigger else "its trigger"
    beat = trigger.heartbeat_at if trigger else None
    if beat is None:
        return Cause(
            name="no_triggerer",
            parts=(f"for {name}, which no triggerer has taken up yet.",),
            advice=("If this lasts: look at the triggerer's log, and at how many triggers it may have.",),
        )
    if known.now - beat > TRIGGERER_SILENT_AFTER_S:
        return Cause(
            name="triggerer_silent",
            parts=(f"for {name}; the triggerer that has it was last heard of at ", beat, "."),
            advice=("Another triggerer takes it over when this one is given up. Look at its log.",),
        )
    return Cause(name="deferred", parts=(f"for {name}, which a triggerer watches.",))


def _last(classpath: str) -> str:
    return shortened(classpath).rpartition(".")[2] or classpath
