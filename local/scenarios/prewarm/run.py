"""Shows the forecast at work: a DAG runs by the clock, the first time unforeseen, then with its workers waiting."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from local.scenarios.faults.ground import Ground
from local.scenarios.prewarm.waits import Fared, due_after, due_at, fared, problems
from local.stack.up import DEFAULT_POOL, Stack, up
from local.ui.view import View
from project.waiting import wait_until

DAG_ID = "clockwork"
DAG_TIMEOUT_S = 120
# The DAG runs each two minutes; then its tasks wait for workers that boot, and run.
RUN_TIMEOUT_S = 420
LOOK_EVERY_S = 2.0
# A run that is due sooner after the forecast is known cannot find its workers: they boot for about half as long.
FORESEEN_S = 45.0


def run() -> int:
    """Bring the stack up, wait for two runs, take it down; 0 only if the second one found its workers."""
    with View() as view, up(view.step) as stack:
        ground = Ground(stack)
        try:
            cold, warm = _two_runs(ground, view)
        finally:
            ground.close()
        view.step("stopping everything")
    view.say(f"without a forecast: {cold.in_words()}")
    view.say(f"with a forecast:    {warm.in_words()}")
    found = problems(cold, warm, slots=ground.slots)
    for problem in found:
        view.say(f"[red]✗[/] {problem}")
    return 1 if found else 0


def _two_runs(ground: Ground, view: View) -> tuple[Fared, Fared]:
    """Of a DAG that never ran nothing can be forecast. Of the next run but the first, everything is known."""
    airflow, stack = ground.airflow, ground.stack
    wait_until(lambda: airflow.dag_exists(DAG_ID), what=f"parsing of the DAG {DAG_ID}", timeout_s=DAG_TIMEOUT_S)
    ground.settle()
    view.step(f"the first run of {DAG_ID}: nothing is known of it")
    airflow.unpause(DAG_ID)
    cold = _next_run(ground, since=0.0)
    view.step("the forecaster learns from it")
    wait_until(lambda: bool(_forecast(stack)), what="a forecast of the next run", timeout_s=RUN_TIMEOUT_S)
    known_at = time.time()
    view.step("the next run: its workers should wait for it")
    warm = _next_run(ground, since=max(known_at + FORESEEN_S, cold.due_at))
    return cold, warm


def _next_run(ground: Ground, *, since: float) -> Fared:
    """The first run that is due after `since`, in seconds since the epoch, when it has ended."""
    found: list[Mapping[str, Any]] = []

    def has_ended() -> bool:
        run = due_after(ground.airflow.runs(DAG_ID), since)
        found.extend([run] if run else [])
        return bool(found)

    wait_until(has_ended, what=f"a run of {DAG_ID}", timeout_s=RUN_TIMEOUT_S, every_s=LOOK_EVERY_S)
    (run,) = found
    instances = ground.airflow.task_instances(DAG_ID, run["dag_run_id"])
    return fared(run, instances, consuming_when_due=_consuming_at(ground, due_at(run)))


def _consuming_at(ground: Ground, at: float) -> int:
    """Workers that took messages at a time in seconds since the epoch, by the last sight before it."""
    began = time.monotonic() - time.time()
    before = [sight for sight in ground.watch.since(0.0) if sight.at <= at + began]
    return before[-1].consuming if before else 0


def _forecast(stack: Stack) -> tuple[tuple[int, int], ...]:
    """Of the default pool, what is still to come."""
    now = stack.registry.now()
    return tuple(pair for pair in stack.registry.forecast(DEFAULT_POOL) or () if pair[0] > now)
