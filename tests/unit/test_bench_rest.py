"""Looks that the simulator spares."""

from dataclasses import replace

import pytest

from autoscaler.boots import Boots, Launch
from autoscaler.decide import Decision
from autoscaler.demand import Sight, ended, remember
from autoscaler.memory import Memory
from autoscaler.observation import Fleet, Observation, Service, Unreadable
from autoscaler.waits import Head
from bench.calendar import Calendar, ScheduledRun
from bench.load import Load, load_of
from bench.order import NONE
from bench.ours import Ours
from bench.policies import default_policy, forecaster_of
from bench.rest import after_rest, is_at_rest
from bench.trial import Outcome, Setting, run_trial
from fleet.foretold import Forecast

NOW, DEMAND = 1000.0, 3
SETTING = Setting(slots=4, minimum=0, lost_looks=0.1)
SEEN = Observation(
    now=NOW,
    queued={"default": 0},
    fleet=Fleet(workers=()),
    service=Service(desired=2, running=2, pending=0, deployments=()),
)
REMEMBERED = Memory(sights=(Sight(at=NOW, demand=DEMAND),), boots=Boots(took_s=(60.0,)))
DECIDED = Decision(desired=2, reason="enough", memory=REMEMBERED)


class Restless(Ours):
    """Takes every look, whatever the last one left to do."""

    def look(self) -> None:
        self.site.fleet.changes += 1
        super().look()


def ran(kind: type[Ours], load: Load, *, period_s: float = 5.0) -> Outcome:
    forecaster = None if load.calendar is None else forecaster_of(load, SETTING)
    scaler = kind(default_policy(SETTING), period_s=period_s, forecaster=forecaster)
    return run_trial(scaler, load=load, setting=SETTING, seed=1)


def with_memory(**changes: object) -> Decision:
    return replace(DECIDED, memory=replace(REMEMBERED, **changes))  # type: ignore[arg-type]


# A second burst comes while the first one's tasks end, a third to an idle pool, and so on.
BURSTS = load_of(
    "bursts", [(600.0 * n + task, (11.0 if n % 2 else 37.0) * task) for n in range(8) for task in range(20)]
)
DUE = [ScheduledRun(dag_id="a", due_at=600.0 * hour, created_at=600.0 * hour, last_stage=NONE) for hour in (1, 2, 6)]


@pytest.mark.parametrize("period_s", [2.0, 5.0, 15.0])
def test_spared_looks_change_nothing(period_s: float) -> None:
    assert ran(Ours, BURSTS, period_s=period_s) == ran(Restless, BURSTS, period_s=period_s)


def test_spared_looks_change_nothing_with_a_forecast() -> None:
    load = replace(BURSTS, calendar=Calendar(runs=DUE, courses={"a": [((0, 20),)]}))
    outcome = ran(Ours, load)
    assert outcome == ran(Restless, load)
    assert outcome != ran(Ours, BURSTS)


@pytest.mark.parametrize("forecast", [None, (), ((int(NOW) + 3600, 1),)])
def test_a_pool_that_needs_nothing_rests(forecast: Forecast | None) -> None:
    assert is_at_rest(replace(SEEN, forecast=forecast), DECIDED)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(replace(SEEN, queued={"default": 0, "long": 1}), id="a message waits"),
        pytest.param(replace(SEEN, forecast=((int(NOW) + 20, 1),)), id="a run is near"),
        pytest.param(replace(SEEN, queued=Unreadable(source="queues", why="away")), id="queues not read"),
        pytest.param(replace(SEEN, service=Unreadable(source="service", why="away")), id="service not read"),
    ],
)
def test_a_pool_does_not_rest_while_something_else_than_workers_is_to_be_minded(seen: Observation) -> None:
    assert not is_at_rest(seen, DECIDED)


@pytest.mark.parametrize(
    "decided",
    [
        pytest.param(replace(DECIDED, desired=3), id="a worker is started"),
        pytest.param(replace(DECIDED, drain=("a",)), id="one drains"),
        pytest.param(replace(DECIDED, recall=("a",)), id="one comes back"),
        pytest.param(with_memory(surplus_since=NOW), id="one too many since now"),
        pytest.param(with_memory(released={"a": NOW}), id="one released"),
        pytest.param(with_memory(heads={"default": Head(digest="d", since=NOW)}), id="a message at the head"),
        pytest.param(with_memory(boots=Boots(launches=(Launch(at=NOW, tasks=1),))), id="one boots"),
    ],
)
def test_a_pool_does_not_rest_while_something_changes_or_has_its_time(decided: Decision) -> None:
    assert not is_at_rest(SEEN, decided)


def test_after_a_rest_the_tasks_that_end_are_those_since_its_last_look() -> None:
    """Of tasks that ended before the rest, those of the last minute still count: here 2 and then 1 of 6."""
    sights = (Sight(at=NOW - 10, demand=6), Sight(at=NOW - 5, demand=4), Sight(at=NOW, demand=3))
    rested = after_rest(replace(REMEMBERED, sights=sights), until=NOW + 53)
    later = remember(rested.sights, Sight(at=NOW + 54, demand=0))
    assert (ended(sights), ended(rested.sights), ended(later)) == (3, 1, 4)
