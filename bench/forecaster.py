"""The forecaster beside the simulated scheduler: the image's own forecast, learned from the runs simulated so far."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from random import Random

from bench.calendar import Calendar, ScheduledRun
from bench.forecast_error import NO_ERROR, ForecastError
from bench.order import NONE
from bench.past_run import PastTask, slots_wanted
from bench.site import Site
from fleet import names
from fleet.forecast import LATE_S, LOOK_EVERY_S, DueRun, PastUse, forecast
from fleet.foretold import FORECAST_TTL_S, Forecast
from roles.forecasting import forecast_settings

QUEUE, POOL = "default", "worker"
# What the container runs with where nobody sets anything.
DEFAULTS = forecast_settings(
    {"POOLS": f'[{{"name": "{POOL}", "queues": ["{QUEUE}"], "max": 1, "concurrency": 1}}]'},
)
AHEAD_S = 60.0 * int(DEFAULTS[names.FORECAST_MINUTES])
WINDOW_S = float(DEFAULTS[names.FORECAST_WINDOW_S])
QUANTILE = float(DEFAULTS[names.FORECAST_QUANTILE])
RUNS = int(DEFAULTS[names.FORECAST_RUNS])


class Forecaster:
    """Looks each minute, at a random phase, and learns from each scheduled run that ends."""

    def __init__(self, calendar: Calendar, *, error: ForecastError = NO_ERROR) -> None:
        self._calendar, self._error = calendar, error
        self._due_at = [run.due_at for run in calendar.runs]
        self._run_of = {run.last_stage: run for run in calendar.runs if run.last_stage != NONE}
        # By DAG: (when the run was due, the slots it wanted), ascending, the last RUNS of them.
        self._past = {
            dag_id: [(-1.0, peak) for peak in peaks][-RUNS:] for dag_id, peaks in calendar.peaks.items() if peaks
        }
        self._written: Forecast | None = None
        self._written_at = 0.0

    def begin(self, site: Site) -> None:
        self._site = site
        site.fleet.when_last_stage_ends = self._learn
        site.clock.at(Random(f"forecasts {site.seed}").random() * LOOK_EVERY_S, self._look)

    def read(self) -> Forecast | None:
        """What the registry holds now."""
        return self._written if self._site.clock.now - self._written_at < FORECAST_TTL_S else None

    def _look(self, _: None) -> None:
        clock, error = self._site.clock, self._error
        due = [DueRun(dag_id=run.dag_id, at=run.due_at) for run in self._due(clock.now - error.behind_s)]
        past = [
            PastUse(dag_id=dag_id, queue=QUEUE, runs=len(runs), peaks=tuple(sorted(peak for _, peak in runs)))
            for dag_id in sorted({run.dag_id for run in due})
            if (runs := self._past.get(dag_id))
        ]
        exact = forecast(due, past, pool_of={QUEUE: POOL}, quantile=QUANTILE)[POOL]
        self._written = tuple((at, max(1, round(slots * error.factor))) for at, slots in exact)
        self._written_at = clock.now
        clock.after(LOOK_EVERY_S, self._look)

    def _due(self, now: float) -> Iterator[ScheduledRun]:
        """The runs that Airflow has not created by then."""
        begin, end = bisect_left(self._due_at, now - LATE_S), bisect_right(self._due_at, now + AHEAD_S)
        return (run for run in self._calendar.runs[begin:end] if run.created_at > now)

    def _learn(self, last_stage: int) -> None:
        run = self._run_of.get(last_stage)
        if run is None:
            return
        fleet = self._site.fleet
        order = fleet.load.order
        assert order is not None
        tasks = [
            PastTask(queued=fleet.arrived[task], started=fleet.started[task], ended=fleet.ended[task])
            for stage in order.chain_to(last_stage)
            for task in order.tasks_of[stage]
        ]
        past = self._past.setdefault(run.dag_id, [])
        insort(past, (run.due_at, slots_wanted(tasks, window_s=WINDOW_S)))
        del past[:-RUNS]
