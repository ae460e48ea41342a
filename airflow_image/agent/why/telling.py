"""Tells the story of a task instance: why it waits, where it runs, why it died. Pure: what is known is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from agent.why import dependencies, queueing, scheduling
from agent.why.dependencies import upstream_lines
from agent.why.ending import FAILED, SKIP_FAST, UP_FOR_RETRY, why_died
from agent.why.facts import Attempt, Known
from agent.why.running import of_deferred, of_running, short, worker_of
from agent.why.story import DIED, ENDED, WAITS, Cause, Line, Story, lasting, listed, named

ENDED_WELL = "success"


def tell(known: Known) -> Story:
    """Return the story. A state that a later Airflow adds is told as it is."""
    teller = _TELLERS.get(known.instance.state, _other)
    story = teller(known)
    return replace(story, lines=(*_past(known), *story.lines))


def _waits(cause: Cause) -> Story:
    return Story(
        kind=WAITS, cause=cause.name, headline=("Waits: ", *cause.parts), lines=cause.lines, advice=cause.advice
    )


def _none(known: Known) -> Story:
    return _waits(dependencies.what_holds(known))


def _scheduled(known: Known) -> Story:
    return _waits(scheduling.what_holds(known))


def _queued(known: Known) -> Story:
    return _waits(queueing.what_holds(known))


def _retry(known: Known) -> Story:
    last = known.instance.earlier[-1] if known.instance.earlier else known.instance.attempt
    cause = why_died(known, last)
    due = known.task.retry_at if known.task else None
    tries = f"Try {last.number} of {known.instance.max_tries + 1} has failed: "
    if due is not None and due > known.now:
        then: tuple[str | float, ...] = (f" Waits {lasting(due - known.now)} for its retry, at ", due, ".")
    else:
        held = dependencies.what_holds(known)
        then = (" Its retry is due: ", *held.parts)
    reason = known.instance.retry_reason
    lines = (Line(t=None, parts=(f"Its retry policy says: {named(reason)}.",)),) if reason else ()
    return Story(kind=WAITS, cause="retry", headline=(tries, *cause.parts, *then), lines=lines, advice=cause.advice)


def _reschedule(known: Known) -> Story:
    due = known.instance.next_poke_at
    if known.task is not None and not known.task.is_sensor:
        cause = Cause(
            name="dag_missing_on_worker",
            parts=("its worker did not find the DAG or the task in the DAG file, and it is tried again",),
            advice=("Read its log. The version of the DAG that the run uses may be lost, or the file fails there.",),
        )
    else:
        cause = Cause(name="reschedule", parts=("what it waits for was not there yet, and it asks again",))
    when: tuple[str | float, ...] = (".",) if due is None else (" at ", due, ".")
    return _waits(replace(cause, parts=(*cause.parts, *when)))


def _failed(known: Known) -> Story:
    cause = why_died(known, known.instance.attempt)
    tries = known.instance.attempt.number
    more = "" if tries <= 1 else f" It was try {tries}."
    return Story(
        kind=DIED,
        cause=cause.name,
        headline=("Failed: ", *cause.parts, more),
        lines=cause.lines,
        advice=cause.advice,
    )


def _upstream_failed(known: Known) -> Story:
    upstream = known.task.upstream if known.task else ()
    failed = sorted(each.task for each in upstream if set(each.states) & {"failed", "upstream_failed"})
    who = listed(failed) if failed else "a task before it"
    advice = (f"Look at the same tab of {named(failed[0])}.",) if failed else ()
    return Story(
        kind=DIED,
        cause="upstream_failed",
        headline=(f"Did not run: {who} failed, and its trigger rule needs it.",),
        lines=upstream_lines(known),
        advice=(*advice, "Clear that task with its downstream tasks to run both again."),
    )


def _skipped(known: Known) -> Story:
    instance = known.instance
    if any(event.name == SKIP_FAST for event in known.events):
        cause, why = "fail_fast", "another task of the run failed, and the DAG has `fail_fast`."
    elif instance.attempt.started_at is not None:
        cause, why = "skipped_itself", "its own code asked for it, or found nothing to do. Its log says more."
    elif known.run.state == FAILED and any(event.name == "patch_dag_run" for event in known.events):
        cause, why = "by_hand", "someone ended its run."
    elif known.run.state == FAILED and known.run.ended_at is not None and known.task and _is_all_done(known):
        cause, why = "run_timeout", "its run ended before it began: a `dagrun_timeout`, or someone ended the run."
    else:
        skipped = sorted(each.task for each in known.task.upstream if "skipped" in each.states) if known.task else []
        cause = "upstream_skipped" if skipped else "branch"
        why = f"{listed(skipped)} was skipped." if skipped else "a task before it chose another branch."
    return Story(kind=ENDED, cause=cause, headline=(f"Skipped: {why}",), lines=upstream_lines(known))


def _is_all_done(known: Known) -> bool:
    return known.task is not None and not any("skipped" in each.states for each in known.task.upstream)


def _removed(known: Known) -> Story:
    return Story(
        kind=ENDED,
        cause="removed",
        headline=(f"Removed: the run's version of the DAG has no task {named(known.instance.task)} any more.",),
        advice=("If it should run, bring it back to the DAG and clear the run.",),
    )


def _restarting(_: Known) -> Story:
    return Story(
        kind=WAITS, cause="restarting", headline=("Waits: it was cleared while it ran, and begins again once it ends.",)
    )


def _success(known: Known) -> Story:
    attempt = known.instance.attempt
    ran = ""
    if attempt.started_at is not None and attempt.ended_at is not None:
        ran = f" after {lasting(attempt.ended_at - attempt.started_at)}"
    return Story(kind=ENDED, cause="success", headline=(f"Succeeded{ran}.",))


def _other(known: Known) -> Story:
    return Story(kind=WAITS, cause="unknown", headline=(f"Its state is {named(str(known.instance.state))}.",))


_TELLERS: dict[str | None, Callable[[Known], Story]] = {
    None: _none,
    "scheduled": _scheduled,
    "queued": _queued,
    "running": of_running,
    "deferred": of_deferred,
    "up_for_retry": _retry,
    "up_for_reschedule": _reschedule,
    "restarting": _restarting,
    "failed": _failed,
    "upstream_failed": _upstream_failed,
    "skipped": _skipped,
    "removed": _removed,
    ENDED_WELL: _success,
}


def _past(known: Known) -> Iterator[Line]:
    """Yield what has happened, oldest first: the run, each earlier try, and this one."""
    run, instance = known.run, known.instance
    if run.started_at is not None:
        yield Line(t=run.started_at, parts=(f"Its run {named(instance.run)} began.",))
    for attempt in instance.earlier:
        yield from _attempt(known, attempt, is_present=False)
    if instance.state == "scheduled" and instance.scheduled_at is not None:
        yield Line(t=instance.scheduled_at, parts=("The tasks before it were done, and it was scheduled.",))
    if instance.state != UP_FOR_RETRY:
        yield from _attempt(known, instance.attempt, is_present=True)


def _attempt(known: Known, attempt: Attempt, *, is_present: bool) -> Iterator[Line]:
    number = f"Try {attempt.number}"
    if attempt.queued_at is not None:
        yield Line(t=attempt.queued_at, parts=(f"{number} was queued for {named(known.instance.queue)}.",))
    if attempt.started_at is not None:
        waited = ""
        if attempt.queued_at is not None and attempt.started_at >= attempt.queued_at:
            waited = f", {lasting(attempt.started_at - attempt.queued_at)} after it was queued"
        worker = worker_of(attempt, known.fleet.workers)
        end = known.ends.get(attempt.instance)
        name = short(worker.id) if worker else short(end.worker) if end else named(attempt.host) if attempt.host else ""
        where = f" on worker {name}" if name else ""
        yield Line(t=attempt.started_at, parts=(f"{number} began{where}{waited}.",))
    if attempt.ended_at is not None and attempt.state is not None and (not is_present or attempt.state in _ENDS):
        why = why_died(known, attempt).parts if attempt.state in (FAILED, UP_FOR_RETRY) else ("it ended.",)
        yield Line(t=attempt.ended_at, parts=(f"{number} ended as {attempt.state}: ", *why))


_ENDS = frozenset({FAILED, ENDED_WELL, "skipped"})
