"""Generates a load as Airflow's schedules do: DAG runs by the clock, with chains and fan-outs, and a backfill."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from bench.loads.cron_dag import DAY_S, HOUR_S, USUAL, Dag, Habits, draw_dags
from bench.loads.load import Load
from bench.loads.schedule import RUNS, WINDOW_S, Calendar, PastTask, Rises, ScheduledRun, rises_of
from bench.loads.stages import FOLLOWS_AFTER_S, NONE, Stages

DAYS = 7
# Airflow's scheduler creates runs in batches, so their first tasks are queued a few seconds after the minute.
LATE_S = (1.0, 6.0)
BACKFILL_AT_S = 10 * HOUR_S  # on the middle day
BACKFILL_OF = "nightly_0"
# 42 runs in a week. A shorter load has a smaller backfill, which would otherwise dominate its quantiles.
BACKFILL_RUNS_A_DAY, BACKFILL_AT_ONCE = 6, 16


@dataclass
class _Draft:
    """Stages as they are drawn: the earliest arrivals of their tasks, their durations, the number of the next stage."""

    most_at_once: int
    arrivals: list[list[float]] = field(default_factory=list)
    durations: list[list[float]] = field(default_factory=list)
    next_of: list[int] = field(default_factory=list)

    def add_chain(self, begin: float, stages: Sequence[list[float]]) -> int:
        """Add a run's stages and return the number of its last one."""
        for arrivals, durations in _unhindered(begin, stages, most_at_once=self.most_at_once):
            self.arrivals.append(arrivals)
            self.durations.append(durations)
            self.next_of.append(len(self.next_of) + 1)
        self.next_of[-1] = NONE
        return len(self.next_of) - 1


def cron_load(*, seed: int = 1, days: int = DAYS, habits: Habits = USUAL) -> Load:
    """Return a load that begins at midnight on a Monday, with its calendar. The same seed gives the same load."""
    dice = Random(f"cron {seed}")
    dags = list(draw_dags(dice, habits))
    draft, runs = _Draft(most_at_once=habits.most_at_once), []
    for dag in dags:
        for due_at in dag.rhythm.due(days):
            created_at = due_at + dice.uniform(*LATE_S)
            last = draft.add_chain(created_at, dag.draw_run(dice))
            runs.append(ScheduledRun(dag_id=dag.dag_id, due_at=due_at, created_at=created_at, last_stage=last))
    _add_backfill(draft, next(dag for dag in dags if dag.dag_id == BACKFILL_OF), dice, days=days)
    courses = {
        dag.dag_id: [_course(dag.draw_run(dice), most_at_once=habits.most_at_once) for _ in range(RUNS)] for dag in dags
    }
    runs.sort(key=lambda run: (run.due_at, run.dag_id))
    return _load_of(draft, Calendar(runs=runs, courses=courses))


def _add_backfill(draft: _Draft, dag: Dag, dice: Random, *, days: int) -> None:
    """Add unscheduled runs of the past: BACKFILL_AT_ONCE at a time, each followed by the next when it has ended."""
    count, begin = BACKFILL_RUNS_A_DAY * days, days // 2 * DAY_S + BACKFILL_AT_S
    for lane in range(min(count, BACKFILL_AT_ONCE)):
        runs = range(lane, count, BACKFILL_AT_ONCE)
        draft.add_chain(begin + lane, [stage for _ in runs for stage in dag.draw_run(dice)])


def _unhindered(
    begin: float, stages: Sequence[list[float]], *, most_at_once: int
) -> Iterator[tuple[list[float], list[float]]]:
    """Yield the arrivals of each stage's tasks if none waits for a slot, and their durations."""
    for durations in stages:
        arrivals: list[float] = []
        ends: list[float] = []
        for duration in durations:
            arrivals.append(begin if len(arrivals) < most_at_once else heapq.heappop(ends) + FOLLOWS_AFTER_S)
            heapq.heappush(ends, arrivals[-1] + duration)
        yield arrivals, durations
        begin = max(ends) + FOLLOWS_AFTER_S


def _course(stages: Sequence[list[float]], *, most_at_once: int) -> Rises:
    """Return the slot demand of a run whose tasks did not wait."""
    tasks = [
        PastTask(queued=arrival, started=arrival, ended=arrival + duration)
        for arrivals, durations in _unhindered(0.0, stages, most_at_once=most_at_once)
        for arrival, duration in zip(arrivals, durations, strict=True)
    ]
    return rises_of(tasks, window_s=WINDOW_S)


def _load_of(draft: _Draft, calendar: Calendar) -> Load:
    tasks = sorted(
        (arrival, stage, duration)
        for stage, (arrivals, durations) in enumerate(zip(draft.arrivals, draft.durations, strict=True))
        for arrival, duration in zip(arrivals, durations, strict=True)
    )
    stage_of = [stage for _, stage, _ in tasks]
    tasks_of: list[list[int]] = [[] for _ in draft.next_of]
    for task, stage in enumerate(stage_of):
        tasks_of[stage].append(task)
    later = {following for following in draft.next_of if following != NONE}
    return Load(
        name="cron",
        arrivals=[arrival for arrival, _, _ in tasks],
        durations=[duration for _, _, duration in tasks],
        stages=Stages(
            stage_of=stage_of,
            tasks_of=tasks_of,
            next_of=draft.next_of,
            first_tasks=sorted(
                task
                for stage, of_stage in enumerate(tasks_of)
                if stage not in later
                for task in of_stage[: draft.most_at_once]
            ),
            most_at_once=draft.most_at_once,
        ),
        calendar=calendar,
    )
