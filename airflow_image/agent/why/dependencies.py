"""Says what a task waits for that has not been scheduled yet: its run, its DAG, the tasks before it, its own past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.page.words import count
from agent.why.facts import Known, Upstream
from agent.why.story import Cause, Line, listed, named

SUCCESS, SKIPPED, REMOVED, FAILED, UPSTREAM_FAILED = "success", "skipped", "removed", "failed", "upstream_failed"
DONE = frozenset({SUCCESS, SKIPPED, REMOVED, FAILED, UPSTREAM_FAILED})
# By a trigger rule: the states in which a task before this one does not hold it up, and what is awaited in words.
ALLOWED: Mapping[str, tuple[frozenset[str], str]] = {
    "all_success": (frozenset({SUCCESS, REMOVED}), "to succeed"),
    "all_failed": (frozenset({FAILED, UPSTREAM_FAILED, REMOVED}), "to fail"),
    "all_done": (DONE, "to end"),
    "all_done_min_one_success": (DONE, "to end, one of them well"),
    "all_done_setup_success": (DONE, "to end"),
    "all_skipped": (frozenset({SKIPPED, REMOVED}), "to be skipped"),
    "none_failed": (frozenset({SUCCESS, SKIPPED, REMOVED}), "to succeed or be skipped"),
    "none_failed_min_one_success": (frozenset({SUCCESS, SKIPPED, REMOVED}), "to succeed or be skipped"),
    "none_skipped": (frozenset({SUCCESS, FAILED, UPSTREAM_FAILED, REMOVED}), "to end without being skipped"),
    "one_success": (frozenset(), "to succeed"),
    "one_failed": (frozenset(), "to fail"),
    "one_done": (frozenset(), "to succeed or fail"),
}
# Of the rules for which one such state among the tasks before it is enough.
ONE_IS_ENOUGH: Mapping[str, frozenset[str]] = {
    "one_success": frozenset({SUCCESS}),
    "one_failed": frozenset({FAILED, UPSTREAM_FAILED}),
    "one_done": frozenset({SUCCESS, FAILED}),
}
MOST_UPSTREAM = 12  # tasks that are told of one by one
PAST = "Previous Dagrun State"  # Airflow's names of dependencies
CONCURRENCY = "Task Concurrency"
# The scheduler examines each run every second or so. One that was not examined for so long waits for the scheduler.
LATE_S = 60.0


def what_holds(known: Known) -> Cause:
    """Return what keeps a task from being scheduled."""
    return next(iter((*_of_run(known), *_of_dag(known), *_of_task(known))), None) or of_scheduler(known)


def of_scheduler(known: Known) -> Cause:
    """Say that nothing holds the task but the scheduler's own pace, or that no scheduler is there."""
    decided_at = known.run.decided_at
    if not known.fleet.trouble and not known.fleet.schedulers:
        return Cause(
            name="no_scheduler",
            parts=("no scheduler runs: none has reported to the fleet for half a minute.",),
            advice=("Look at the service airflow of the stack: a deployment, or a scheduler that does not start.",),
        )
    if decided_at is not None and known.now - decided_at > LATE_S:
        return Cause(
            name="scheduler_late",
            parts=("the scheduler has not come to its run since ", decided_at, ". Nothing else holds it."),
            advice=("The scheduler is busy or stands still: look at its log and at the alarm of its heartbeat.",),
        )
    return Cause(name="scheduler", parts=("nothing holds it: the scheduler takes it in one of its next loops.",))


def upstream_lines(known: Known) -> tuple[Line, ...]:
    """Say of each task before this one which states it has, those that hold it up first; a dozen at most."""
    if known.task is None:
        return ()
    allowed, _ = ALLOWED.get(known.task.trigger_rule, (frozenset(), ""))
    ordered = sorted(known.task.upstream, key=lambda each: (set(each.states) <= allowed, each.task))
    lines = [
        Line(t=None, parts=(f"Before it: {named(each.task)}, {_states(each)}.",)) for each in ordered[:MOST_UPSTREAM]
    ]
    others = len(ordered) - MOST_UPSTREAM
    return (*lines, Line(t=None, parts=(f"Before it: {count(others, 'other task')}.",))) if others > 0 else tuple(lines)


def _states(upstream: Upstream) -> str:
    states = upstream.states
    if not states:
        return "not in this run"
    if len(states) == 1 and sum(states.values()) == 1:
        return next(iter(states)).replace("none", "not scheduled yet")
    return ", ".join(f"{number:,} {state}" for state, number in sorted(states.items())).replace("none", "not scheduled")


def _of_run(known: Known) -> Iterator[Cause]:
    run, dag, now = known.run, known.dag, known.now
    if run.state in (SUCCESS, FAILED):
        yield Cause(
            name="run_ended",
            parts=(f"it will not run: its run has ended as {run.state}", *_since(run.ended_at), "."),
            advice=("Clear the task, or the run, to let it run.",),
        )
    if run.run_after is not None and run.run_after > now:
        yield Cause(name="not_due", parts=("its run is not due before ", run.run_after, "."))
    if dag.is_stale:
        yield Cause(
            name="dag_gone",
            parts=(f"the DAG {named(known.instance.dag)} is no longer found in any DAG file.",),
            advice=("Bring the file back, or delete the DAG.",),
        )
    if dag.is_paused:
        yield Cause(
            name="paused",
            parts=(f"the DAG {named(known.instance.dag)} is paused.",),
            advice=("Unpause the DAG. Tasks that run already go on meanwhile.",),
        )


def _of_dag(known: Known) -> Iterator[Cause]:
    run, dag = known.run, known.dag
    if run.state != "queued":
        return
    if dag.max_active_runs is not None and run.active_of_dag >= dag.max_active_runs:
        yield Cause(
            name="max_active_runs",
            parts=(
                f"its run has not begun: the DAG {named(known.instance.dag)} has "
                f"{count(run.active_of_dag, 'active run')}, and its `max_active_runs` allows {dag.max_active_runs:,}",
                *_since(run.queued_at),
                ".",
            ),
            advice=("Wait for one of the runs to end, or raise the DAG's max_active_runs.",),
        )
    else:
        yield Cause(
            name="run_queued",
            parts=("its run has not begun yet: the scheduler begins it in one of its next loops.",),
        )


def _of_task(known: Known) -> Iterator[Cause]:
    task, instance = known.task, known.instance
    if task is None:
        return
    if task.start_date is not None and task.start_date > known.now:
        yield Cause(name="start_date", parts=("its `start_date` is ", task.start_date, "."))
    if (cause := _of_upstream(known)) is not None:
        yield cause
    if PAST in task.unmet:
        yield Cause(
            name="depends_on_past",
            parts=(f"`depends_on_past`: the same task of the run before has not succeeded. {task.unmet[PAST]}",),
            advice=(f"Look at {named(instance.task)} in the run before: let it run, or mark it as success.",),
        )
    for name, reason in task.unmet.items():
        if name not in (PAST, CONCURRENCY):
            yield Cause(name="dependency", parts=(f"{name}: {reason}",))


def _of_upstream(known: Known) -> Cause | None:
    task = known.task
    if task is None or not task.upstream:
        return None
    allowed, awaited = ALLOWED.get(task.trigger_rule, (DONE, "to end"))
    is_one = task.trigger_rule in ONE_IS_ENOUGH
    if is_one:
        holding = list(task.upstream) if not _is_one_there(task.trigger_rule, task.upstream) else []
    else:
        holding = [each for each in task.upstream if not set(each.states) <= allowed]
    if not holding:
        return None
    rule = "" if task.trigger_rule == "all_success" else f" (its trigger rule is `{task.trigger_rule}`)"
    one_of = "one of " if is_one and len(holding) > 1 else ""
    of_these = sorted(holding, key=lambda each: each.task)
    return Cause(
        name="upstream",
        parts=(f"it waits for {one_of}{listed(each.task for each in of_these)} {awaited}{rule}.",),
        lines=upstream_lines(known),
        advice=_advice(of_these),
    )


def _advice(holding: list[Upstream]) -> tuple[str, ...]:
    running = [each.task for each in holding if "running" in each.states]
    waiting = [each.task for each in holding if not set(each.states) & {"running"}]
    if running or not waiting:
        return ()
    return (f"Look at the same tab of {named(waiting[0])}: why does that one wait?",)


def _is_one_there(rule: str, upstream: tuple[Upstream, ...]) -> bool:
    return any(set(each.states) & ONE_IS_ENOUGH[rule] for each in upstream)


def _since(t: float | None) -> tuple[str | float, ...]:
    return () if t is None else (", since ", t)
