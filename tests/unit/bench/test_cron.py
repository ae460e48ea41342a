"""The generated load, its schedule, and the simulated forecaster."""

import math
from dataclasses import replace
from typing import Any

import pytest

from agent.forecaster.forecast import LATE_S, TICK_EVERY_S
from bench.loads.cron_load import cron_load
from bench.loads.load import Load
from bench.loads.schedule import AHEAD_S, WINDOW_S, Calendar, PastTask, Rises, ScheduledRun, rises_of
from bench.loads.stages import FOLLOWS_AFTER_S, NONE, Stages
from bench.policies.catalog import MAKERS, OURS_FORECAST, make, makers_for
from bench.policies.peer import Peer
from bench.sim.boots import Boots
from bench.sim.forecaster import NO_ERROR, Forecaster, ForecastError
from bench.sim.pool import SimPool
from bench.sim.trial import Outcome, Setting, run_trial
from fleet.forecast import FORECAST_TTL_S, Forecast
from tests.support import past_runs
from tests.support.past_runs import CASES, Past

BOOT_S = 60.0
SETTING = Setting(slots=2, minimum=0, boots=Boots(median_s=BOOT_S, p95_s=BOOT_S))
EVERY_S = 600.0
RUNS = 6
COURSE: Rises = ((0, 3),)
LATER_S = 285
WITH_LATER_STAGE: Rises = ((0, 3), (LATER_S, 1))


class OneWorker(Peer):
    """Keeps one worker and records the forecast at each tick."""

    name = "one-worker"
    period_s = 10.0

    def __init__(self, forecaster: Forecaster | None = None) -> None:
        self._forecaster = forecaster
        self.read: list[tuple[float, Forecast | None]] = []

    def begin(self, pool: SimPool) -> None:
        super().begin(pool)
        pool.ecs.set_desired(1)
        if self._forecaster is not None:
            self._forecaster.begin(pool)

    def tick(self) -> None:
        if self._forecaster is not None:
            self.read.append((self.pool.clock.now, self._forecaster.read()))


def regular(*, courses: tuple[Rises, ...] = (), most_at_once: int = 16) -> Load:
    """Return a load of six runs, one each ten minutes: three tasks of 30 s at once, and one after them."""
    arrivals, tasks_of, runs = [], [], []
    for run in range(RUNS):
        due_at = EVERY_S * (run + 1)
        tasks_of += [[4 * run, 4 * run + 1, 4 * run + 2], [4 * run + 3]]
        arrivals += [due_at + 2.0] * 3 + [due_at + 2.0 + 30.0 + FOLLOWS_AFTER_S]
        runs.append(ScheduledRun(dag_id="d", due_at=due_at, created_at=due_at + 2.0, last_stage=2 * run + 1))
    stages = Stages(
        stage_of=[stage for stage, tasks in enumerate(tasks_of) for _ in tasks],
        tasks_of=tasks_of,
        next_of=[stage + 1 if stage % 2 == 0 else NONE for stage in range(2 * RUNS)],
        first_tasks=[task for tasks in tasks_of[::2] for task in tasks[:most_at_once]],
        most_at_once=most_at_once,
    )
    calendar = Calendar(runs=runs, courses={"d": courses})
    return Load(name="regular", arrivals=arrivals, durations=[30.0] * len(arrivals), stages=stages, calendar=calendar)


@pytest.fixture
def long_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the forecast include stages that begin minutes after their run is due."""
    monkeypatch.setattr("bench.sim.forecaster.WINDOW_S", 600.0)


def forecasts_seen(
    *, courses: tuple[Rises, ...] = (), error: ForecastError = NO_ERROR
) -> list[tuple[float, Forecast | None]]:
    load = regular(courses=courses)
    assert load.calendar is not None
    policy = OneWorker(Forecaster(load.calendar, error=error))
    run_trial(policy, load=load, setting=SETTING, seed=1)
    return policy.read


def ran(load: Load) -> Outcome:
    return run_trial(OneWorker(), load=load, setting=SETTING, seed=1)


@pytest.mark.parametrize(("tasks", "wanted"), CASES)
def test_a_past_run_has_the_slot_demand_that_postgres_computes(tasks: list[Past], wanted: Rises) -> None:
    queued: list[Any] = [task for task in tasks if task.queued is not None]
    past = [PastTask(queued=task.queued, started=task.started, ended=task.started + task.ran) for task in queued]
    assert (rises_of(past, window_s=past_runs.WINDOW_S) if past else ()) == wanted


def test_a_stage_begins_after_all_tasks_of_the_previous_stage() -> None:
    # Two slots: of three tasks one waits for 30 s, so the fourth comes 30 s later than its arrival says, and waits 0 s.
    outcome = ran(regular())
    assert outcome.completed == 4 * RUNS
    assert (outcome.figures.wait_p50, outcome.figures.wait_p95) == (0, 30)


def test_a_run_queues_no_more_tasks_at_once_than_airflow_allows() -> None:
    # One at a time: each of the three comes 1.5 s after the one before has ended, and finds a slot.
    outcome = ran(regular(most_at_once=1))
    assert outcome.completed == 4 * RUNS
    assert (outcome.figures.wait_p50, outcome.figures.wait_p95) == (0, 0)


def test_tasks_without_stages_are_queued_at_their_arrival() -> None:
    # The fourth comes 31.5 s after the first, when the third has just begun: a slot is free.
    assert ran(replace(regular(), stages=None)).figures.wait_p95 == 30


def test_a_run_is_forecast_until_it_is_a_minute_old() -> None:
    for now, forecast in forecasts_seen(courses=(COURSE,)):
        if now < TICK_EVERY_S:
            continue  # before the forecaster's first tick
        assert forecast is not None
        for at, slots in forecast:
            assert slots == 3
            assert now - at < LATE_S + TICK_EVERY_S
            assert at - now <= AHEAD_S


def forecast_times(seen: list[tuple[float, Forecast | None]], expected_at: float) -> list[float]:
    """Return the times at which slots were forecast for `expected_at`."""
    return [now for now, forecast in seen for at, _ in forecast or () if at == expected_at]


@pytest.mark.usefixtures("long_window")
def test_the_later_stages_of_a_run_are_forecast_for_as_long_as_it_runs() -> None:
    # Created 2 s after it was due, it lasts 2 x 30 s for three tasks on two slots, and 31.5 s more.
    begin, end = EVERY_S + 2, EVERY_S + 2 + 60 + FOLLOWS_AFTER_S + 30
    last = max(forecast_times(forecasts_seen(courses=(WITH_LATER_STAGE,)), EVERY_S + LATER_S))
    assert begin + TICK_EVERY_S - 10 < last <= end + TICK_EVERY_S


def test_a_dag_is_forecast_once_it_has_run() -> None:
    seen = forecasts_seen()
    first = next(now for now, forecast in seen if forecast)
    # The first run is over 600 + 2 + 2 x 30 + 31.5 s after the begin; the next tick, within a minute, sees it.
    assert 690 < first < 690 + TICK_EVERY_S + 10
    assert {slots for _, forecast in seen for _, slots in forecast or ()} == {3}


def test_a_forecast_may_be_wrong_by_a_factor() -> None:
    doubled = forecasts_seen(courses=(COURSE,), error=ForecastError(factor=2))
    assert {slots for _, forecast in doubled for _, slots in forecast or ()} == {6}


def test_a_stale_forecast_contains_runs_that_have_begun() -> None:
    stale = forecasts_seen(courses=(COURSE,), error=ForecastError(behind_s=300))
    assert any(at < now - TICK_EVERY_S - 10 for now, forecast in stale for at, _ in forecast or ())


def test_there_is_no_forecast_before_the_first_tick() -> None:
    load = regular(courses=(COURSE,))
    assert load.calendar is not None
    forecaster = Forecaster(load.calendar)
    policy = OneWorker(forecaster)
    run_trial(policy, load=load, setting=SETTING, seed=1)
    assert policy.read[0][1] is None
    assert FORECAST_TTL_S > TICK_EVERY_S


@pytest.mark.usefixtures("long_window")
def test_a_run_that_never_begins_is_forecast_until_it_is_a_minute_late() -> None:
    load = regular(courses=(WITH_LATER_STAGE,))
    assert load.calendar is not None
    missed = [replace(run, created_at=math.inf, last_stage=NONE) for run in load.calendar.runs]
    policy = OneWorker(Forecaster(replace(load.calendar, runs=missed)))
    outcome = run_trial(policy, load=load, setting=SETTING, seed=1)
    assert outcome.completed == len(load)
    last = max(forecast_times(policy.read, EVERY_S + LATER_S))
    assert EVERY_S + LATE_S - 10 < last <= EVERY_S + LATE_S + TICK_EVERY_S


def test_runs_that_never_begin_are_forecast_in_addition_to_the_others() -> None:
    load = regular(courses=(COURSE,))
    assert load.calendar is not None
    policy = OneWorker(Forecaster(load.calendar.with_missed_runs(1.0)))
    run_trial(policy, load=load, setting=SETTING, seed=1)
    assert {slots for _, forecast in policy.read for _, slots in forecast or ()} == {6}


def test_an_unknown_dag_is_not_forecast() -> None:
    calendar = regular(courses=(COURSE,)).calendar
    assert calendar is not None
    assert calendar.with_share_known(0.0).runs == []
    assert calendar.with_share_known(1.0) == calendar


def test_the_same_seed_gives_the_same_load() -> None:
    assert cron_load(seed=3, days=1) == cron_load(seed=3, days=1) != cron_load(seed=4, days=1)


def test_a_generated_load_is_sorted_and_its_schedule_has_all_runs_but_the_backfill() -> None:
    load = cron_load(days=1)
    assert load.stages is not None
    assert load.calendar is not None
    assert list(load.arrivals) == sorted(load.arrivals)
    assert sorted(task for tasks in load.stages.tasks_of for task in tasks) == list(range(len(load)))
    lasts = {stage for stage, following in enumerate(load.stages.next_of) if following == NONE}
    scheduled = {run.last_stage for run in load.calendar.runs}
    assert len(lasts - scheduled) == 6  # the backfill's runs of a day, all at once
    assert scheduled < lasts
    assert load.calendar.courses.keys() >= {run.dag_id for run in load.calendar.runs}


def test_a_forecast_is_compared_only_where_a_schedule_is_known() -> None:
    load = regular()
    assert makers_for(load) == MAKERS
    assert makers_for(replace(load, calendar=None)).keys() == MAKERS.keys() - {OURS_FORECAST}
    with pytest.raises(ValueError, match="no schedule"):
        make(OURS_FORECAST, replace(load, calendar=None), SETTING)


def test_the_forecast_has_the_windows_of_the_image() -> None:
    assert (AHEAD_S, WINDOW_S) == (900, 30)
