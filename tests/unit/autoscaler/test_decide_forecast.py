"""What the autoscaler makes of a forecast."""

from dataclasses import replace
from typing import Any

import pytest

from autoscaler.boots import Boots, Launch
from autoscaler.decide import Decision, decide
from autoscaler.forecast import HELD_AFTER_S, RECALLED_BEFORE_S
from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Fleet, Observation, Service, Worker
from autoscaler.policy import Policy
from fleet.registry import CONSUMING, DRAINED, DRAINING, ORDER_DRAIN

NOW = 1_000_000
POLICY = Policy(minimum=0, maximum=10, concurrency=4, scale_in_after_s=0)
LEARNED = Memory(boots=Boots(took_s=(40,) * 9))  # and 10 s until a worker that has reported takes messages
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
        (LEAD_S + 1, 0),  # still time
        (LEAD_S, 2),  # 5 slots on workers of 4
        (1, 2),
        (0, 0),  # it has begun: what waits and runs is the measure
    ],
)
def test_workers_are_started_a_boots_time_before_a_run_is_due(due_in_s: int, desired: int) -> None:
    assert decided(seen(forecast=((NOW + due_in_s, 5),))).desired == desired


def test_what_several_runs_want_adds_up() -> None:
    assert decided(seen(forecast=((NOW + 20, 4), (NOW + 40, 8), (NOW + 600, 99)))).desired == 3


def test_free_slots_and_boots_under_way_are_counted_first() -> None:
    assert decided(seen(worker("a", active=1), desired=2, forecast=((NOW + 40, 8),))).desired == 3  # 8 - 3 = 5 slots
    draining = seen(worker("a", active=1), worker("b", DRAINING, active=1), forecast=((NOW + 40, 6),))
    assert decided(draining).desired == 2


def test_a_forecast_comes_on_top_of_what_waits() -> None:
    busy = seen(worker("a", active=4), queued=4, forecast=((NOW + 40, 4),))
    assert decided(busy).desired == 3
    assert "forecast: 4 slots from 13:47 UTC" in decided(busy).reason


@pytest.mark.parametrize("forecast", [None, (), ((NOW + 600, 99),), ((NOW - 1, 4),), ((NOW + 1, 40),)])
def test_no_forecast_holds_back_what_is_started_for_tasks_that_wait(forecast: Any) -> None:
    assert decided(seen(queued=40, forecast=forecast)).desired == 10


@pytest.mark.parametrize("forecast", [None, (), ((NOW + 600, 99),), ((NOW - 1, 4),), ((NOW - 1, 40),)])
def test_no_forecast_holds_back_who_races_for_tasks_that_wait(forecast: Any) -> None:
    racing = replace(POLICY, maximum=100, boots_per_task=0.65)
    assert decided(seen(queued=40, forecast=forecast), policy=racing).desired == 26


def test_a_forecast_opens_others_beside_who_would_consume_without_it() -> None:
    fleet = (worker("a"), worker("b", active=1), worker("c"))
    for has_room in (None, ((NOW, 1),), ((NOW, 3),)):
        assert decided(seen(*fleet, forecast=has_room)).drain == ("a", "c")
    assert decided(seen(*fleet, forecast=((NOW, 4),))).drain == ("c",)


def test_a_forecast_raises_no_more_than_the_maximum() -> None:
    assert decided(seen(forecast=((NOW + 40, 400),))).desired == POLICY.maximum


def test_workers_that_drain_are_called_back_shortly_before_a_run() -> None:
    leaving = (worker("a", DRAINED), worker("b", DRAINING, active=1))
    soon, later = NOW + int(RECALLED_BEFORE_S), NOW + int(RECALLED_BEFORE_S) + 1
    assert decided(seen(*leaving, forecast=((soon, 7),))).recall == ("b", "a")
    before = decided(seen(*leaving, forecast=((later, 7),)))
    assert (before.recall, before.desired) == (("b",), 2)  # "b" for the spare slot; "a" is not stopped meanwhile


def test_of_what_is_expected_a_part_waits_drained_until_tasks_have_come() -> None:
    ready = [worker(name) for name in "abcdefg"]
    # Of 16 slots all are opened, of 26 they are 18: four workers and five.
    few, many = ((NOW + 5, 16),), ((NOW + 5, 26),)
    assert decided(seen(*ready[:4], forecast=few)).drain == ()
    ahead = decided(seen(*ready, forecast=many))
    assert (ahead.drain, ahead.desired) == (("f", "g"), 7)
    come = seen(*ready[:5], *(worker(name, DRAINED) for name in "fg"), queued=26, forecast=many)
    assert decided(come).recall == ("f", "g")


def test_what_was_held_ready_stays_until_the_run_had_time_to_begin() -> None:
    ready = (worker("a"), worker("b"))
    due = NOW - int(HELD_AFTER_S)
    assert decided(seen(*ready, forecast=((due + 1, 8),))).drain == ()
    assert decided(seen(*ready, forecast=((due, 8),))).drain == ("a", "b")


def test_boots_for_a_run_that_does_not_come_are_given_up() -> None:
    booting = replace(LEARNED, boots=replace(LEARNED.boots, launches=(Launch(at=NOW - 60, tasks=2),)))
    assert decided(seen(desired=2, forecast=((NOW + 5, 8),)), booting).desired == 2
    assert decided(seen(desired=2, forecast=()), booting).desired == 0


def test_before_a_fleet_has_shown_how_long_its_boots_take_a_long_one_is_assumed() -> None:
    assert decided(seen(forecast=((NOW + 100, 4),)), Memory()).desired == 1
    assert decided(seen(forecast=((NOW + 101, 4),)), Memory()).desired == 0
