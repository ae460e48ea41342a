"""Shows the forecast at work: a scheduled run without a forecast, then one whose workers wait for it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.scenarios.observed_stack import ObservedStack
from local.stack.up import DEFAULT_POOL, Stack, up
from local.ui.display import Display
from project.waiting import wait_until

DAG_ID = "clockwork"
DAG_TIMEOUT_S = 120
SUCCESS = "success"
# The DAG runs every two minutes; then its tasks wait for workers that boot, and run.
RUN_TIMEOUT_S = 420
CHECK_EVERY_S = 2.0
# A run due sooner after the forecast is known cannot find its workers ready: they boot for about half as long.
NOTICE_S = 45.0


@dataclass(frozen=True, kw_only=True)
class RunTimes:
    """Times in seconds, `due_at` since the epoch. `consuming_when_due`: workers that took messages when it was due.

    `waits`: from each task's message to its start. `tries`: the most tries of one of its tasks.
    """

    due_at: float
    waits: tuple[float, ...]
    tries: int
    consuming_when_due: int

    @property
    def mean_wait_s(self) -> float:
        """The tasks' mean wait."""
        return sum(self.waits) / len(self.waits)

    def line(self) -> str:
        """Return the times on one line."""
        return (
            f"{len(self.waits)} tasks waited {self.mean_wait_s:.1f} s on average, {max(self.waits):.1f} s at most; "
            f"{self.consuming_when_due} workers consumed when the run was due"
        )


def run() -> int:
    """Bring the stack up, wait for two runs, take it down; 0 only if the second run found its workers ready."""
    with Display() as display, up(display.step, warn=display.warn) as stack:
        observed = ObservedStack(stack)
        try:
            cold, warm = _two_runs(observed, display)
        finally:
            observed.close()
        display.step("stopping everything")
    display.say(f"without a forecast: {cold.line()}")
    display.say(f"with a forecast:    {warm.line()}")
    found = problems(cold, warm, slots=observed.slots)
    for problem in found:
        display.say(f"[red]✗[/] {problem}")
    return 1 if found else 0


def times_of(run: Mapping[str, Any], instances: Sequence[Mapping[str, Any]], *, consuming_when_due: int) -> RunTimes:
    """Return the times of a run and its task instances, as Airflow's API describes them once the run has succeeded."""
    return RunTimes(
        due_at=due_at(run),
        waits=tuple(_seconds(each["start_date"]) - _seconds(each["queued_when"]) for each in instances),
        tries=max(int(each["try_number"]) for each in instances),
        consuming_when_due=consuming_when_due,
    )


def due_at(run: Mapping[str, Any]) -> float:
    """Return when the run was due, in seconds since the epoch."""
    return _seconds(run["run_after"])


def first_due_after(runs: Sequence[Mapping[str, Any]], at: float) -> Mapping[str, Any] | None:
    """Return the first scheduled run due after `at` (seconds since the epoch) that succeeded; None if there is none."""
    found = [run for run in runs if run["run_type"] == "scheduled" and run["state"] == SUCCESS and due_at(run) > at]
    return min(found, key=due_at, default=None)


def problems(cold: RunTimes, warm: RunTimes, *, slots: int) -> list[str]:
    """Return what did not hold, one line each: a forecast run must find consuming workers for all its tasks."""
    needed = -(-len(warm.waits) // slots)
    found = []
    if warm.consuming_when_due < needed:
        found.append(f"{warm.consuming_when_due} workers consumed when the run was due, not {needed}")
    if warm.mean_wait_s >= cold.mean_wait_s:
        found.append("with the forecast, tasks waited no less than without it")
    if max(cold.tries, warm.tries) > 1:
        found.append("a task was retried")
    return found


def _two_runs(observed: ObservedStack, display: Display) -> tuple[RunTimes, RunTimes]:
    """Return the times of the DAG's first run, which has no forecast, and of a later one, which has."""
    airflow, stack = observed.airflow, observed.stack
    airflow.wait_for_dag(DAG_ID, timeout_s=DAG_TIMEOUT_S)
    observed.settle()
    display.step(f"the first run of {DAG_ID}, without a forecast")
    airflow.unpause(DAG_ID)
    cold = _next_run(observed, since=0.0)
    display.step("the forecaster learns from the first run")
    wait_until(lambda: bool(_forecast(stack)), what="a forecast of the next run", timeout_s=RUN_TIMEOUT_S)
    known_at = time.time()
    display.step("the next run, whose workers should be ready")
    warm = _next_run(observed, since=max(known_at + NOTICE_S, cold.due_at))
    return cold, warm


def _next_run(observed: ObservedStack, *, since: float) -> RunTimes:
    """Wait for the first run due after `since` (seconds since the epoch) and return its times."""
    found: list[Mapping[str, Any]] = []

    def has_ended() -> bool:
        run = first_due_after(observed.airflow.runs(DAG_ID), since)
        found.extend([run] if run else [])
        return bool(found)

    wait_until(has_ended, what=f"a run of {DAG_ID}", timeout_s=RUN_TIMEOUT_S, every_s=CHECK_EVERY_S)
    (run,) = found
    instances = observed.airflow.task_instances(DAG_ID, run["dag_run_id"])
    return times_of(run, instances, consuming_when_due=_consuming_at(observed, due_at(run)))


def _consuming_at(observed: ObservedStack, at: float) -> int:
    """Count the consuming workers in the last sample before `at` (seconds since the epoch)."""
    epoch = time.monotonic() - time.time()
    before = [sample for sample in observed.workers.since(0.0) if sample.at <= at + epoch]
    return before[-1].consuming if before else 0


def _forecast(stack: Stack) -> tuple[tuple[int, int], ...]:
    """Return what the default pool's forecast still expects."""
    now = stack.registry.now()
    return tuple(pair for pair in stack.registry.forecast(DEFAULT_POOL) or () if pair[0] > now)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
