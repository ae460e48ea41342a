"""The simulated forecaster: the image's own forecast, computed from the runs simulated so far."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from agent.forecaster.forecast import LATE_S, TICK_EVERY_S, DueRun, PastUse, forecast
from bench.loads.schedule import (
    AHEAD_S,
    POOL,
    QUEUE,
    RUNS,
    WINDOW_S,
    Calendar,
    PastTask,
    Rises,
    ScheduledRun,
    rises_of,
)
from bench.loads.stages import NONE
from bench.sim.pool import SimPool
from fleet.forecast import FORECAST_TTL_S, Forecast


@dataclass(frozen=True, kw_only=True)
class ForecastError:
    """An error of a forecast: all slots are multiplied by `factor`, and it is `behind_s` seconds old when written."""

    factor: float = 1.0
    behind_s: float = 0.0


NO_ERROR = ForecastError()


class Forecaster:
    """Forecasts each minute, from a random phase on, and learns from each scheduled run that ends."""

    def __init__(self, calendar: Calendar, *, error: ForecastError = NO_ERROR) -> None:
        self._calendar, self._error = calendar, error
        self._due_at = [run.due_at for run in calendar.runs]
        self._due_runs = [DueRun(dag_id=run.dag_id, at=run.due_at) for run in calendar.runs]
        self._run_of = {run.last_stage: run for run in calendar.runs if run.last_stage != NONE}
        self._ended: set[int] = set()
        # By DAG, the last RUNS runs as (due time, slot demand), ascending.
        self._past = {
            dag_id: [(-1.0, course) for course in courses][-RUNS:]
            for dag_id, courses in calendar.courses.items()
            if courses
        }
        self._uses = {dag_id: _use(dag_id, runs) for dag_id, runs in self._past.items()}
        self._written: Forecast | None = None
        self._written_at = 0.0

    def begin(self, pool: SimPool) -> None:
        self._pool = pool
        pool.workers.when_last_stage_ends = self._learn
        pool.clock.at(Random(f"forecasts {pool.seed}").random() * TICK_EVERY_S, self._tick)

    def read(self) -> Forecast | None:
        """Return the forecast that the registry holds now, if any."""
        return self._written if self._pool.clock.now - self._written_at < FORECAST_TTL_S else None

    def _tick(self, _: None) -> None:
        clock, error = self._pool.clock, self._error
        now = clock.now - error.behind_s
        runs = self._runs(now)
        past = [self._uses[dag_id] for dag_id in sorted({run.dag_id for run in runs}) if dag_id in self._uses]
        exact = forecast(runs, past, pool_of={QUEUE: POOL}, since=now - LATE_S)[POOL]
        self._written = tuple((at, max(1, round(slots * error.factor))) for at, slots in exact)
        self._written_at = clock.now
        clock.after(TICK_EVERY_S, self._tick)

    def _runs(self, now: float) -> list[DueRun]:
        """Return the due runs that Airflow has not created yet and those that are running."""
        runs = self._calendar.runs
        begin, end = bisect_left(self._due_at, now - max(LATE_S, WINDOW_S)), bisect_right(self._due_at, now + AHEAD_S)
        return [self._due_runs[number] for number in range(begin, end) if self._is_expected(runs[number], now)]

    def _is_expected(self, run: ScheduledRun, now: float) -> bool:
        if run.created_at > now:
            return run.due_at >= now - LATE_S
        return run.due_at >= now - WINDOW_S and run.last_stage not in self._ended

    def _learn(self, last_stage: int) -> None:
        run = self._run_of.get(last_stage)
        if run is None:
            return
        self._ended.add(last_stage)
        workers = self._pool.workers
        progress = workers.progress
        if progress is None:
            raise ValueError(f"{workers.load.name} has no stages to learn from")
        tasks = [
            PastTask(queued=workers.arrived[task], started=workers.started[task], ended=workers.ended[task])
            for stage in progress.chain_to(last_stage)
            for task in progress.stages.tasks_of[stage]
        ]
        past = self._past.setdefault(run.dag_id, [])
        insort(past, (run.due_at, rises_of(tasks, window_s=WINDOW_S)))
        del past[:-RUNS]
        self._uses[run.dag_id] = _use(run.dag_id, past)


def _use(dag_id: str, runs: Sequence[tuple[float, Rises]]) -> PastUse:
    """Return the DAG's past use, the sum of `runs` as (due time, slot demand)."""
    total: dict[int, int] = defaultdict(int)
    for _, rises in runs:
        for after_s, slots in rises:
            total[after_s] += slots
    return PastUse(dag_id=dag_id, queue=QUEUE, runs=len(runs), rises=tuple(sorted(total.items())))
