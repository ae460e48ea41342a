"""Workers that AWS would stop are replaced first: those above an age, and those that a notice of AWS names."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.decide import Decision, decide
from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Fleet, Observation, Service, Worker
from autoscaler.policy import Policy
from autoscaler.retirement import JITTER, age_limit_s
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN
from tests.support.pool_world import World

NOW = 1_000_000.0
NOTICE_AT = NOW - 60
HOUR_S = 3600.0
POLICY = Policy(minimum=1, maximum=10, concurrency=4)
AGED = replace(POLICY, max_age_s=72 * HOUR_S)


def old(name: str, state: str = CONSUMING, *, active: int = 0, order: str | None = None, **other: Any) -> Worker:
    """Return a worker that started before the notice, an hour ago unless stated otherwise."""
    protected = other.pop("protected", state in (CONSUMING, DRAINING))
    defaults: dict[str, Any] = {"slots": 4, "started_at": NOW - HOUR_S}
    return Worker(id=name, state=state, active=active, order=order, protected=protected, **{**defaults, **other})


def new(name: str, state: str = CONSUMING, **other: Any) -> Worker:
    """Return a worker that started after the notice."""
    return old(name, state, **{"started_at": NOW - 10, **other})


def drained(worker: Worker) -> Worker:
    return replace(worker, state=DRAINED, order=ORDER_DRAIN, protected=False)


def seen(*workers: Worker, queued: int = 0, desired: int | None = None, **other: Any) -> Observation:
    """Return an observation with a notice, in which all workers run."""
    desired = len(workers) if desired is None else desired
    service = Service(
        desired=desired,
        running=len(workers),
        pending=max(0, desired - len(workers)),
        deployments=other.pop("deployments", (Deployment(id="1", status="PRIMARY", task_definition="w:1", running=1),)),
        retire_before=other.pop("retire_before", NOTICE_AT),
    )
    fleet = Fleet(workers=workers, malformed=other.pop("malformed", ()))
    return Observation(now=NOW, queued={"default": queued}, fleet=fleet, service=service)


def decided(observation: Observation, policy: Policy = POLICY) -> Decision:
    return decide(observation, policy, Memory())


def test_a_worker_retires_only_when_another_consumes_in_its_place() -> None:
    alone = decided(seen(old("a")))
    assert (alone.desired, alone.drain) == (2, ())  # a replacement is launched
    booting = decided(seen(old("a"), desired=2))
    assert (booting.desired, booting.drain) == (2, ())  # and no second one
    starting = decided(seen(old("a"), new("b", STARTING)))
    assert (starting.desired, starting.drain) == (2, ())
    consuming = decided(seen(old("a"), new("b")))
    assert (consuming.desired, consuming.drain) == (2, ("a",))
    assert "1 worker retires, 1 told to drain" in consuming.reason


def test_desired_falls_when_the_retiring_worker_has_drained() -> None:
    # "b" has few free slots: without the retiring worker's, there would be no surplus.
    decision = decided(seen(drained(old("a")), new("b", active=3)))
    assert (decision.desired, set(decision.memory.stopping)) == (1, {"a"})


def test_a_drained_worker_that_retires_stays_while_another_replacement_boots() -> None:
    # ECS might stop the replacement that boots for "c" instead of "a".
    waiting = seen(drained(old("a")), new("b", active=4), old("c", active=4), desired=4)
    assert decided(waiting).desired == 4


def test_each_retiring_worker_that_the_demand_needs_is_replaced_at_once() -> None:
    busy = [old(f"w{n}", active=4) for n in range(5)]
    assert decided(seen(*busy)).desired == 10


def test_one_drains_for_each_that_consumes_in_its_place() -> None:
    busy = [old(f"w{n}", active=4) for n in range(5)]
    decision = decided(seen(*busy, new("x"), new("y"), desired=10))
    assert len(decision.drain) == 2  # 20 active need 5: x, y and three retiring ones
    assert decision.desired == 10


def test_the_oldest_retire_first() -> None:
    workers = [old("a", active=4), old("b", active=1, started_at=0.0), old("c", active=4), new("d", active=0)]
    assert decided(seen(*workers)).drain == ("b",)  # 9 active need 3: d, a and c


def test_a_retiring_worker_that_drains_is_never_recalled() -> None:
    draining = old("a", DRAINING, active=1, order=ORDER_DRAIN)
    decision = decided(seen(draining, new("b", active=4), queued=2))
    assert decision.recall == ()
    assert decision.desired == 3  # "a" has three free slots, which do not count


def test_none_drains_for_a_retiring_worker_that_was_recalled_before_the_notice_and_does_not_consume_yet() -> None:
    recalled = old("a", DRAINED, order=ORDER_CONSUME)
    workers = [old("b"), old("c"), recalled, new("x"), new("y")]
    policy = replace(POLICY, maximum=4)
    decision = decided(seen(*workers, queued=16, desired=4), policy)
    assert (decision.needed, decision.drain) == (4, ())


def test_draining_workers_that_do_not_retire_are_recalled_before_any_is_launched() -> None:
    back = replace(new("b"), state=DRAINING, order=ORDER_DRAIN)
    decision = decided(seen(old("a", active=4), back))
    assert (decision.recall, decision.drain, decision.desired) == (("b",), (), 2)
    # It consumes only a moment later. Until then the retiring one goes on.
    on_its_way = replace(back, order=ORDER_CONSUME)
    assert decided(seen(old("a", active=4), on_its_way)).drain == ()
    assert decided(seen(old("a", active=4), replace(on_its_way, state=CONSUMING))).drain == ("a",)


def test_replacements_may_exceed_the_maximum() -> None:
    full = [old(f"w{n}", active=4) for n in range(10)]
    decision = decided(seen(*full, queued=100))
    assert decision.desired == 20
    replaced = decided(seen(*full, *[new(f"x{n}", active=4) for n in range(10)], queued=100))
    assert (len(replaced.drain), replaced.desired) == (10, 20)
    one_left = decided(seen(*[new(f"x{n}", active=4) for n in range(10)], drained(full[0]), queued=100))
    assert one_left.desired == 10


def test_a_drained_worker_that_retires_makes_no_place_beyond_the_maximum() -> None:
    none = replace(POLICY, minimum=0, maximum=0)
    assert decided(seen(drained(old("a")), queued=1, desired=0), none).desired == 0
    full = [new(f"x{n}", active=4) for n in range(9)]
    stopped = decided(seen(*full, drained(old("a")), queued=100))
    assert (stopped.desired, tuple(stopped.memory.stopping)) == (9, ("a",))  # the next tick launches the tenth


def test_an_idle_worker_of_a_pool_without_a_minimum_is_not_replaced() -> None:
    decision = decided(seen(old("a")), replace(POLICY, minimum=0))
    assert (decision.desired, decision.drain) == (1, ("a",))


def test_the_last_busy_worker_of_a_pool_without_a_minimum_is_replaced_once() -> None:
    empty = replace(POLICY, minimum=0)
    assert decided(seen(old("a", active=2)), empty).desired == 2
    assert decided(seen(old("a", active=2), new("b")), empty).drain == ("a",)
    left = seen(old("a", DRAINING, active=2, order=ORDER_DRAIN), new("b"))
    assert decided(left, empty).desired == 2  # no further replacement


def test_a_surplus_of_retiring_workers_waits_like_any_other() -> None:
    slow = replace(POLICY, scale_in_after_s=600)
    decision = decided(seen(old("a"), old("b"), old("c"), new("d")), slow)
    assert decision.drain == ("a",)  # replaced by "d"; "b" and "c" are a surplus


def test_a_malformed_record_prevents_that_any_drains() -> None:
    decision = decided(seen(old("a"), new("b"), malformed=("x/worker",)))
    assert decision.drain == ()


def test_a_pool_asleep_replaces_nothing() -> None:
    observation = seen(old("a", active=1))
    assert isinstance(observation.service, Service)
    decision = decided(replace(observation, service=replace(observation.service, asleep=True)))
    assert (decision.drain, decision.desired) == (("a",), 1)


def test_no_worker_retires_in_a_rollout() -> None:
    rolling = (
        Deployment(id="2", status="PRIMARY", task_definition="w:2", running=1),
        Deployment(id="1", status="ACTIVE", task_definition="w:1", running=1),
    )
    workers = (old("a", active=1, deployment="1"), new("b", STARTING, deployment="2"))
    with_notice, without = (
        decided(seen(*workers, deployments=rolling, retire_before=before)) for before in (NOTICE_AT, None)
    )
    assert (with_notice.desired, with_notice.drain) == (without.desired, without.drain)


def test_the_age_of_a_worker_has_a_limit_of_its_own() -> None:
    limits = [age_limit_s(f"{n:032x}/worker", 72 * HOUR_S) / HOUR_S for n in range(200)]
    assert 72 * (1 - JITTER) <= min(limits) < 56 < 70 < max(limits) <= 72
    within = [len([limit for limit in limits if hour <= limit < hour + 1]) for hour in range(54, 72)]
    assert max(within) < 30  # of 200, some 11 an hour


@pytest.mark.parametrize(("hours", "desired"), [(53.9, 1), (72.0, 2)])
def test_a_worker_above_its_age_retires(hours: float, desired: int) -> None:
    worker = old("a", started_at=NOW - hours * HOUR_S)
    assert decided(seen(worker, retire_before=None), AGED).desired == desired


def test_without_an_age_or_a_notice_no_worker_retires() -> None:
    assert decided(seen(old("a", started_at=0.0), retire_before=None)).desired == 1


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), minimum=st.integers(0, 3), more=st.integers(1, 6), wait_s=st.sampled_from([0, 30]))
def test_in_any_interleaving_all_are_replaced_and_capacity_stays(
    seed: int, minimum: int, more: int, wait_s: int
) -> None:
    policy = Policy(minimum=minimum, maximum=minimum + more, concurrency=4, scale_in_after_s=wait_s)
    world = World(dice=Random(seed), policy=policy, desired=minimum)
    for step in range(60):
        world.queued += world.dice.choice([0, 0, 0, 1, 5, 20])
        if step == 20:
            world.retire_before = world.now
        world.step()
    world.settle(ticks=30)
    assert world.retire_before is not None
    for task in world.tasks:
        is_retiring = task.started_at < world.retire_before
        assert not is_retiring or (task.order == ORDER_DRAIN and task.active), "a worker that retires consumes or idles"
    staying = [task for task in world.tasks if task.started_at >= world.retire_before]
    consuming = [task for task in staying if task.state == CONSUMING]
    assert sum(4 - task.active for task in consuming) >= world.queued or len(consuming) >= policy.maximum
    assert minimum <= len(consuming) <= policy.maximum
