"""The ticks that the simulator skips, without an effect on the outcome."""

import math
from dataclasses import replace
from typing import Any

import pytest

from autoscaler.boots import Boots, Launch
from autoscaler.decide import Decision
from autoscaler.estimates import DemandSample, Head, add_sample, count_ended
from autoscaler.memory import Memory
from autoscaler.observation import Fleet, Observation, Service, Unreadable, Worker
from bench.loads.load import Load, load_of
from bench.loads.schedule import Calendar, ScheduledRun
from bench.loads.stages import NONE
from bench.policies.catalog import default_policy, forecaster_of
from bench.policies.own_autoscaler import OwnAutoscaler
from bench.policies.skipped_ticks import ROUNDING_S, QuietPeriod, memory_after_quiet_period, quiet_period_after
from bench.sim.trial import Outcome, Setting, run_trial
from fleet.forecast import Forecast
from fleet.member import DRAINED
from fleet.registry import ORDER_DRAIN

NOW, DEMAND = 1000.0, 3
SETTING = Setting(slots=4, minimum=0)
TICKS_LOST = replace(SETTING, lost_ticks=0.1)
RELEASED = Worker(id="a", state=DRAINED, active=0, slots=4, protected=False, order=ORDER_DRAIN, started_at=NOW - 300)
SEEN = Observation(
    now=NOW,
    queued={"default": 0},
    fleet=Fleet(workers=(RELEASED,)),
    service=Service(desired=2, running=2, pending=0, deployments=()),
)
REMEMBERED = Memory(samples=(DemandSample(at=NOW, demand=DEMAND),), boots=Boots(took_s=(60.0,)))
ENDING = (DemandSample(at=NOW - 30, demand=3), DemandSample(at=NOW - 20, demand=4), DemandSample(at=NOW, demand=3))
GROWING = (DemandSample(at=NOW - 20, demand=2), DemandSample(at=NOW, demand=3))
WAITING = replace(SEEN, queued={"default": 0, "long": 1})
DECIDED = Decision(desired=2, reason="enough", memory=REMEMBERED)


class EveryTick(OwnAutoscaler):
    """Skips no tick."""

    def tick(self) -> None:
        self.pool.workers.changes += 1
        super().tick()  # without returning the time until which ticks can be skipped


def ran(kind: type[OwnAutoscaler], load: Load, *, period_s: float = 5.0, setting: Setting = SETTING) -> Outcome:
    forecaster = None if load.calendar is None else forecaster_of(load, setting)
    scaler = kind(default_policy(setting), period_s=period_s, forecaster=forecaster)
    return run_trial(scaler, load=load, setting=setting, seed=1)


def with_memory(**changes: object) -> Decision:
    return replace(DECIDED, memory=replace(REMEMBERED, **changes))  # type: ignore[arg-type]


# The second burst comes while the first one's tasks end, the third comes to an idle pool, and so on.
BURSTS = load_of(
    "bursts", [(600.0 * n + task, (11.0 if n % 2 else 37.0) * task) for n in range(8) for task in range(20)]
)
DUE = [ScheduledRun(dag_id="a", due_at=600.0 * hour, created_at=600.0 * hour, last_stage=NONE) for hour in (1, 2, 6)]


@pytest.mark.parametrize("setting", [SETTING, TICKS_LOST], ids=["every tick", "lost ticks"])
@pytest.mark.parametrize("period_s", [2.0, 5.0, 15.0])
def test_skipped_ticks_change_no_outcome(period_s: float, setting: Setting) -> None:
    world = {"period_s": period_s, "setting": setting}
    assert ran(OwnAutoscaler, BURSTS, **world) == ran(EveryTick, BURSTS, **world)  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", [SETTING, TICKS_LOST], ids=["every tick", "lost ticks"])
def test_skipped_ticks_change_no_outcome_with_a_forecast(setting: Setting) -> None:
    load = replace(BURSTS, calendar=Calendar(runs=DUE, courses={"a": [((0, 20),)]}))
    outcome = ran(OwnAutoscaler, load, setting=setting)
    assert outcome == ran(EveryTick, load, setting=setting)
    assert outcome != ran(OwnAutoscaler, BURSTS, setting=setting)


def test_lost_ticks_change_the_outcome() -> None:
    assert ran(OwnAutoscaler, BURSTS) != ran(OwnAutoscaler, BURSTS, setting=TICKS_LOST)


def test_tasks_that_come_between_two_ticks_are_seen_within_a_second() -> None:
    load = load_of("burst", [(0.0, 10.0), *[(1000.0, 10.0)] * 4])
    waits = [ran(OwnAutoscaler, load, period_s=period_s).figures.wait_p50 for period_s in (5.0, 60.0)]
    # The boots of a trial are the same whatever the period, and it ticks at 1 s or less.
    assert abs(waits[0] - waits[1]) < 2.0


def test_an_idle_pool_needs_few_ticks() -> None:
    """There are two hours between two tasks, and a tick each 5 s."""
    ticks: list[float] = []

    class Counted(OwnAutoscaler):
        def tick(self) -> float | None:
            ticks.append(self.pool.clock.now)
            return super().tick()

    ran(Counted, load_of("sparse", [(0.0, 10.0), (7200.0, 10.0)]))
    assert 10 < len(ticks) < 200


def quiet_period(
    seen: Observation = SEEN, decided: Decision = DECIDED, *, memory: Memory = REMEMBERED
) -> QuietPeriod | None:
    return quiet_period_after(seen, memory, decided, max_age_s=None)


def lasts(period: QuietPeriod | None, *, at: float, forecast: Forecast | None = None) -> bool:
    assert period is not None
    return period.lasts(forecast, REMEMBERED, now=at)


def test_the_quiet_period_of_an_idle_pool_has_no_end() -> None:
    assert lasts(quiet_period(), at=NOW + 86_400)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(replace(SEEN, queued=Unreadable(source="queues", why="away")), id="queues not read"),
        pytest.param(replace(SEEN, fleet=Unreadable(source="fleet", why="away")), id="fleet not read"),
        pytest.param(replace(SEEN, service=Unreadable(source="service", why="away")), id="service not read"),
    ],
)
def test_an_unreadable_pool_has_no_quiet_period(seen: Observation) -> None:
    assert quiet_period(seen) is None


@pytest.mark.parametrize(
    "decided",
    [
        pytest.param(replace(DECIDED, desired=3), id="a worker is launched"),
        pytest.param(replace(DECIDED, drain=("a",)), id="a worker drains"),
        pytest.param(replace(DECIDED, recall=("a",)), id="a worker is recalled"),
        pytest.param(with_memory(surplus_since=NOW), id="a surplus since now"),
        pytest.param(with_memory(stopping={"a": NOW}), id="a worker is stopping since now"),
        pytest.param(with_memory(heads={"default": Head(digest="d", since=NOW)}), id="a message at the head"),
    ],
)
def test_a_changing_pool_has_no_quiet_period(decided: Decision) -> None:
    assert quiet_period(decided=decided) is None


@pytest.mark.parametrize(
    ("memory", "seen", "lasts_s"),
    [
        pytest.param({"stopping": {"a": NOW - 10}}, SEEN, 50.0, id="a stopping worker counts again after 60 s"),
        pytest.param({"stopping": {"b": NOW - 10}}, SEEN, None, id="a stopped worker never counts again"),
        pytest.param(
            {"boots": Boots(launches=(Launch(at=NOW - 60, tasks=1), Launch(at=NOW - 10, tasks=2)))},
            SEEN,
            45.0,
            id="the first minute of a boot is paid for after 55 s",
        ),
        pytest.param({"samples": ENDING}, WAITING, 40.0, id="a task that ended counts for 60 s while others wait"),
        pytest.param({"samples": GROWING}, SEEN, 40.0, id="a task that came is growth for 60 s"),
        pytest.param({"samples": ENDING}, SEEN, None, id="an ended task does not count while no other waits"),
    ],
)
def test_a_quiet_period_ends_when_a_remembered_time_matters(
    memory: dict[str, Any], seen: Observation, lasts_s: float | None
) -> None:
    remembered = replace(REMEMBERED, **memory)
    found = quiet_period(seen, replace(DECIDED, memory=remembered), memory=remembered)
    assert found is not None
    assert found.until == pytest.approx(math.inf if lasts_s is None else NOW + lasts_s, abs=2 * ROUNDING_S)
    assert found.until == math.inf or found.until < NOW + (lasts_s or 0.0)


def test_a_quiet_period_lasts_while_the_expected_slots_stay_the_same() -> None:
    """Workers are launched 100 s ahead, recalled 20 s ahead and kept for 20 s."""
    forecast = ((int(NOW) + 200, 4),)
    far, near = (quiet_period(replace(SEEN, now=at, forecast=forecast)) for at in (NOW, NOW + 150))
    assert [lasts(far, at=at, forecast=forecast) for at in (NOW + 99, NOW + 101)] == [True, False]
    assert [lasts(near, at=at, forecast=forecast) for at in (NOW + 179, NOW + 181)] == [True, False]
    assert not lasts(far, at=NOW + 10, forecast=((int(NOW) + 30, 1),))


def test_the_memory_after_a_quiet_period_counts_ended_tasks_as_if_no_tick_was_skipped() -> None:
    """Tasks that ended in the last minute before still count: here 3, then 1, and then 4."""
    sights = (DemandSample(at=NOW - 10, demand=6), DemandSample(at=NOW - 5, demand=4), DemandSample(at=NOW, demand=3))
    rested = memory_after_quiet_period(replace(REMEMBERED, samples=sights), until=NOW + 53)
    later = add_sample(rested.samples, DemandSample(at=NOW + 54, demand=0))
    assert (count_ended(sights), count_ended(rested.samples), count_ended(later)) == (3, 1, 4)
