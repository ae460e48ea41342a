"""How the autoscaler uses a forecast."""

from dataclasses import replace
from typing import Any

import pytest

from autoscaler.boots import Boots, Launch
from autoscaler.decide import Decision, decide
from autoscaler.estimates import DemandSample
from autoscaler.forecast import HELD_AFTER_S, RECALLED_BEFORE_S
from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Fleet, Observation, Service, Worker
from autoscaler.policy import Policy
from autoscaler.racing import Budget
from fleet.member import CONSUMING, DRAINED, DRAINING
from fleet.registry import ORDER_DRAIN

NOW = 1_000_000
POLICY = Policy(minimum=0, maximum=10, concurrency=4, scale_in_after_s=0)
LEARNED = Memory(boots=Boots(took_s=(40,) * 9))  # plus 10 s from a worker's first report until it takes messages
LEAD_S = 50


def worker(name: str, state: str = CONSUMING, *, active: int = 0) -> Worker:
    return Worker(
        id=name,
        state=state,
        active=active,
        slots=4,
        protected=state != DRAINED,
        order=None if state == CONSUMING else ORDER_DRAIN,
        started_at=NOW - 600,
    )


def seen(*workers: Worker, forecast: Any, queued: int = 0, desired: int | None = None) -> Observation:
    desired = len(workers) if desired is None else desired
    deployment = Deployment(id="ecs-svc/1", status="PRIMARY", task_definition="worker:1", running=len(workers))
    return Observation(
        now=NOW,
        queued={"default": queued},
        fleet=Fleet(workers=workers),
        service=Service(desired=desired, running=len(workers), pending=0, deployments=(deployment,)),
        forecast=forecast,
    )


def decided(observation: Observation, memory: Memory = LEARNED, policy: Policy = POLICY) -> Decision:
    return decide(observation, policy, memory)


@pytest.mark.parametrize(
    ("due_in_s", "desired"),
    [
        (LEAD_S + 1, 0),  # too early to launch
        (LEAD_S, 2),  # 5 slots on workers of 4
        (1, 2),
        (0, 0),  # the run has begun: backlog and active tasks count now
    ],
)
def test_workers_are_started_a_boots_time_before_a_run_is_due(due_in_s: int, desired: int) -> None:
    assert decided(seen(forecast=((NOW + due_in_s, 5),))).desired == desired


def test_slots_of_several_expected_runs_add_up() -> None:
    assert decided(seen(forecast=((NOW + 20, 4), (NOW + 40, 8), (NOW + 600, 99)))).desired == 3


def test_free_slots_and_boots_under_way_are_counted_first() -> None:
    assert decided(seen(worker("a", active=1), desired=2, forecast=((NOW + 40, 8),))).desired == 3  # 8 - 3 = 5 slots
    draining = seen(worker("a", active=1), worker("b", DRAINING, active=1), forecast=((NOW + 40, 6),))
    assert decided(draining).desired == 2


def test_forecast_slots_are_added_to_the_backlog() -> None:
    busy = seen(worker("a", active=4), queued=4, forecast=((NOW + 40, 4),))
    assert decided(busy).desired == 3
    assert "forecast: 4 slots from 13:47 UTC" in decided(busy).reason


@pytest.mark.parametrize("forecast", [None, (), ((NOW + 600, 99),), ((NOW - 1, 4),), ((NOW + 1, 40),)])
def test_no_forecast_holds_back_workers_for_the_backlog(forecast: Any) -> None:
    assert decided(seen(queued=40, forecast=forecast)).desired == 10


@pytest.mark.parametrize("forecast", [None, (), ((NOW + 600, 99),), ((NOW - 1, 4),), ((NOW - 1, 40),)])
def test_no_forecast_holds_back_boots_that_race_for_the_backlog(forecast: Any) -> None:
    racing = replace(POLICY, maximum=100, boots_per_task=0.65, racing_budget=0.05)
    rich = replace(LEARNED, racing=Budget(left_s=1e6, at=NOW - 1))
    assert decided(seen(queued=40, forecast=forecast), rich, racing).desired == 26


def test_a_forecast_keeps_more_workers_beside_those_that_would_consume_without_it() -> None:
    fleet = (worker("a"), worker("b", active=1), worker("c"))
    for has_room in (None, ((NOW, 1),), ((NOW, 3),)):
        assert decided(seen(*fleet, forecast=has_room)).drain == ("a", "c")
    assert decided(seen(*fleet, forecast=((NOW, 4),))).drain == ("c",)


def test_a_forecast_raises_no_more_than_the_maximum() -> None:
    assert decided(seen(forecast=((NOW + 40, 400),))).desired == POLICY.maximum


def test_draining_workers_are_recalled_shortly_before_a_run() -> None:
    leaving = (worker("a", DRAINED), worker("b", DRAINING, active=1))
    soon, later = NOW + int(RECALLED_BEFORE_S), NOW + int(RECALLED_BEFORE_S) + 1
    assert decided(seen(*leaving, forecast=((soon, 7),))).recall == ("b", "a")
    before = decided(seen(*leaving, forecast=((later, 7),)))
    assert (before.recall, before.desired) == (("b",), 2)  # "b" for the spare slot; "a" is not stopped meanwhile


def test_a_part_of_the_expected_workers_waits_drained_until_tasks_have_come() -> None:
    ready = [worker(name) for name in "abcdefg"]
    # Workers consume for 16 of the expected slots: 4 workers.
    few, many = ((NOW + 5, 16),), ((NOW + 5, 26),)
    assert decided(seen(*ready[:4], forecast=few)).drain == ()
    ahead = decided(seen(*ready, forecast=many))
    assert (ahead.drain, ahead.desired) == (("e", "f", "g"), 7)
    come = seen(*ready[:4], *(worker(name, DRAINED) for name in "efg"), queued=26, forecast=many)
    assert decided(come).recall == ("e", "f", "g")


def test_workers_for_an_expected_run_stay_until_it_had_time_to_begin() -> None:
    ready = (worker("a"), worker("b"))
    due = NOW - int(HELD_AFTER_S)
    assert decided(seen(*ready, forecast=((due + 1, 8),))).drain == ()
    assert decided(seen(*ready, forecast=((due, 8),))).drain == ("a", "b")


@pytest.mark.parametrize(
    ("demands", "drained"),
    [
        pytest.param((0, 0), (), id="none has come"),
        pytest.param((0, 4), ("c",), id="4 have come and ended: 8 slots are held"),
        pytest.param((0, 12), ("a", "b", "c"), id="all have come"),
        pytest.param((12, 12), (), id="12 came before the run was due"),
        pytest.param((8, 12), ("c",), id="4 of 12 came since"),
    ],
)
def test_slots_whose_tasks_have_come_are_held_no_longer(demands: tuple[int, int], drained: tuple[str, ...]) -> None:
    before, come = demands
    samples = (DemandSample(at=NOW - 8, demand=before), DemandSample(at=NOW - 3, demand=come))
    late = seen(worker("a"), worker("b"), worker("c"), forecast=((NOW - 5, 12),))
    assert decided(late, replace(LEARNED, samples=samples)).drain == drained


@pytest.mark.parametrize(
    ("forecast", "desired"),
    [
        pytest.param(None, 2, id="nothing forecast: of 4 more tasks, 3 are expected again"),
        pytest.param(((NOW - 30, 3),), 1, id="3 of 4 forecast"),
        pytest.param(((NOW - 79, 4),), 1, id="all were due at most 20 s before the last minute"),
        pytest.param(((NOW - 80, 4),), 2, id="they were due earlier"),
    ],
)
def test_growth_that_was_forecast_launches_no_worker_ahead(forecast: Any, desired: int) -> None:
    grown = replace(LEARNED, samples=(DemandSample(at=NOW - 40, demand=4),))
    wide = replace(POLICY, concurrency=10)
    busy = replace(worker("a", active=8), slots=10)
    assert decided(seen(busy, forecast=forecast), grown, wide).desired == desired


def test_boots_for_a_run_that_does_not_come_are_cancelled() -> None:
    booting = replace(LEARNED, boots=replace(LEARNED.boots, launches=(Launch(at=NOW - 60, tasks=2),)))
    assert decided(seen(desired=2, forecast=((NOW + 5, 8),)), booting).desired == 2
    assert decided(seen(desired=2, forecast=()), booting).desired == 0


def test_a_long_boot_is_assumed_before_a_fleet_has_shown_its_boot_times() -> None:
    assert decided(seen(forecast=((NOW + 100, 4),)), Memory()).desired == 1
    assert decided(seen(forecast=((NOW + 101, 4),)), Memory()).desired == 0
