"""The autoscaler's decision, case by case."""

from dataclasses import replace
from typing import Any

import pytest

from autoscaler.boots import CANCEL_AFTER_S, Boots, Launch
from autoscaler.decide import Decision, decide
from autoscaler.desired import STOPPING_HOLDS_S
from autoscaler.estimates import DemandSample
from autoscaler.memory import Memory
from autoscaler.observation import SILENT_AFTER_S, Deployment, Fleet, Observation, Service, Unreadable, Worker
from autoscaler.policy import Policy, workers_needed
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING, STOPPED
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN

NOW = 1_000_000.0
POLICY = Policy(minimum=1, maximum=10, concurrency=4, scale_in_after_s=30)
LONG_SURPLUS = Memory(surplus_since=NOW - POLICY.scale_in_after_s)


def worker(name: str, state: str = CONSUMING, *, active: int = 0, order: str | None = None, **other: Any) -> Worker:
    """Return a worker as its agent would report it: protected while it consumes or drains."""
    protected = other.pop("protected", state in (CONSUMING, DRAINING))
    return Worker(
        id=name,
        state=state,
        active=active,
        slots=other.pop("slots", 4),
        protected=protected,
        order=order,
        started_at=NOW - 600,
        **other,
    )


def drained(name: str, **other: Any) -> Worker:
    return worker(name, DRAINED, **{"order": ORDER_DRAIN, **other})


def draining(name: str, **other: Any) -> Worker:
    return worker(name, DRAINING, **{"order": ORDER_DRAIN, **other})


def seen(*workers: Worker, queued: int = 0, desired: int | None = None, **other: Any) -> Observation:
    """Return an observation in which all workers run and as many are desired, unless stated otherwise."""
    running = other.pop("running", len(workers))
    desired = len(workers) if desired is None else desired
    deployment = Deployment(id="ecs-svc/1", status="PRIMARY", task_definition="worker:1", running=running)
    service = Service(
        desired=desired,
        running=running,
        pending=max(0, desired - running),
        deployments=other.pop("deployments", (deployment,)),
    )
    fleet = Fleet(workers=workers, malformed=other.pop("malformed", ()))
    return Observation(now=NOW, queued={"default": queued}, fleet=fleet, service=service, **other)


def decided(observation: Observation, memory: Memory | None = None, policy: Policy = POLICY) -> Decision:
    return decide(observation, policy, Memory() if memory is None else memory)


@pytest.mark.parametrize(
    ("demand", "needed"),
    [
        (0, 1),  # the minimum
        (4, 1),  # 4 / 4
        (5, 2),  # 5 / 4, rounded up
        (40, 10),  # 40 / 4
        (41, 10),  # 11, clipped to the maximum
    ],
)
def test_needed_is_demand_over_concurrency_within_the_limits(demand: int, needed: int) -> None:
    assert workers_needed(demand, POLICY) == needed


def test_demand_is_the_backlog_of_every_queue_plus_the_active_tasks_of_every_worker() -> None:
    observation = replace(seen(worker("a", active=4), draining("b", active=1)), queued={"default": 3, "other": 1})
    assert decided(observation).needed == 3  # (3 + 1 + 4 + 1) / 4, rounded up


def test_a_backlog_raises_desired_at_once_to_what_is_needed() -> None:
    decision = decided(seen(worker("a", active=4), queued=9))
    assert decision.desired == 4  # (9 + 4) / 4, rounded up
    assert "9 queued + 4 active need 4" in decision.reason
    assert "desired 1 -> 4" in decision.reason


def test_workers_that_were_launched_are_not_launched_again() -> None:
    assert decided(seen(worker("a", active=4), queued=9, desired=4, running=1)).desired == 4


def test_tasks_that_soon_find_a_freed_slot_need_no_boot() -> None:
    ending = Memory(samples=(DemandSample(at=NOW - 30, demand=28),))
    busy = worker("a", active=4)
    assert decided(seen(busy, queued=8), ending).desired == 1  # 28 -> 12: 16 ended, half of them free 8 slots
    assert decided(seen(busy, queued=9), ending).desired == 2  # 15 ended: 9 - 7.5 tasks need ceil(1.5 / 4)


def test_tasks_that_ended_more_than_a_minute_ago_are_not_expected_to_free_slots() -> None:
    ended = Memory(samples=(DemandSample(at=NOW - 61, demand=28),))
    assert decided(seen(worker("a", active=4), queued=8), ended).desired == 3


GROWING = Memory(samples=(DemandSample(at=NOW - 30, demand=8),))


def test_a_worker_is_launched_ahead_where_the_demand_grows() -> None:
    full = (worker("a", active=4), worker("b", active=4), worker("c", active=4))  # 8 -> 12: 3 more are expected
    decision = decided(seen(*full), GROWING)
    assert decision.desired == 4
    assert "demand grows: 3 more tasks expected" in decision.reason
    assert decided(seen(*full)).desired == 3
    free = (*full[:2], worker("c", active=2), worker("d", active=1))  # 5 slots are free for them
    assert decided(seen(*free), GROWING).desired == 4


def test_what_was_launched_ahead_stays_while_the_demand_grows() -> None:
    fleet = (worker("a", active=4), worker("b", active=4), worker("c", active=4), drained("d"))
    assert decided(seen(*fleet), GROWING).desired == 4
    over = Memory(samples=(DemandSample(at=NOW - 61, demand=8), DemandSample(at=NOW - 30, demand=12)))
    assert decided(seen(*fleet), over).desired == 3


def test_no_worker_is_launched_ahead_for_a_pool_that_is_asleep() -> None:
    full = seen(worker("a", active=4), worker("b", active=4), worker("c", active=4))
    assert isinstance(full.service, Service)
    assert decided(replace(full, service=replace(full.service, asleep=True)), GROWING).desired == 3


def test_a_raise_of_the_desired_count_is_remembered_until_its_boots_have_reported() -> None:
    raised = decided(seen(worker("a", active=4), queued=9))
    assert raised.memory.boots.launches == (Launch(at=NOW, tasks=3),)
    later = replace(seen(worker("a", active=4), worker("b"), queued=4, desired=4), now=NOW + 50)
    memory = decided(later, raised.memory).memory
    assert memory.boots.launches == (Launch(at=NOW, tasks=2),)
    assert memory.boots.took_s == (50,)


def test_the_longest_running_workers_consume_and_the_newest_drain() -> None:
    newer = replace(worker("a", active=3), started_at=NOW - 60)
    assert decided(seen(newer, worker("b", active=1)), LONG_SURPLUS).drain == ("a",)  # "b" has 3 free slots


def test_a_worker_without_a_free_slot_is_not_needed_to_take_messages() -> None:
    decision = decided(seen(worker("a", active=1), worker("b", active=4)), LONG_SURPLUS)
    assert (decision.drain, decision.desired) == (("b",), 2)


def test_an_empty_worker_is_not_kept_for_the_spare_slot_of_others() -> None:
    assert decided(seen(worker("a", active=3), worker("b")), LONG_SURPLUS).drain == ("b",)


def test_zero_workers_become_enough_and_enough_become_zero() -> None:
    policy = replace(POLICY, minimum=0)
    assert decided(seen(queued=1), policy=policy).desired == 1
    assert decided(seen(drained("a")), policy=policy).desired == 0


def test_a_pool_scales_from_zero_to_work_and_back_to_zero() -> None:
    policy = replace(POLICY, minimum=0)
    assert decided(seen(desired=0), policy=policy).desired == 0
    assert decided(seen(queued=5, desired=0, running=0), policy=policy).desired == 2  # 5 / 4, rounded up
    idle = decided(seen(worker("a"), worker("b")), LONG_SURPLUS, policy)
    assert (idle.drain, idle.desired) == (("a", "b"), 2)
    assert decided(seen(drained("a"), drained("b")), policy=policy).desired == 0


def test_one_tick_launches_at_most_a_step() -> None:
    policy = replace(POLICY, max_step_out=2)
    first = decided(seen(worker("a", active=4), queued=30), policy=policy)
    assert (first.desired, first.needed) == (3, 9)  # 34 / 4, rounded up
    assert "launch at most 2 per tick" in first.reason
    assert decided(seen(worker("a", active=4), queued=30, desired=8, running=1), policy=policy).desired == 9


def test_the_step_limits_neither_recalls_nor_the_minimum() -> None:
    policy = replace(POLICY, max_step_out=1, minimum=3)
    leaving = [draining("b"), draining("c"), draining("d")]
    assert len(decided(seen(worker("a", active=4), *leaving, queued=12), policy=policy).recall) == 3
    assert decided(seen(desired=0), policy=policy).desired == 3


@pytest.mark.parametrize("unreadable", [False, True])
def test_a_paused_service_is_left_alone_and_the_decision_says_so(unreadable: bool) -> None:
    observation = seen(
        worker("a", active=4), worker("b"), drained("c"), draining("d", order=None), queued=99, desired=7
    )
    assert isinstance(observation.service, Service)
    observation = replace(observation, service=replace(observation.service, paused=True))
    if unreadable:
        observation = replace(observation, queued=Unreadable(source="queues", why="away"))
    decision = decided(observation, Memory(surplus_since=NOW - 99, stopping={"x": NOW}))
    assert (decision.desired, decision.drain, decision.recall) == (7, (), ())
    assert "paused" in decision.reason
    assert decision.memory == Memory(surplus_since=None, stopping={"x": NOW})


def test_draining_workers_are_recalled_before_new_ones_are_launched() -> None:
    decision = decided(seen(worker("a", active=4), drained("b"), draining("c", active=2), queued=10))
    assert decision.recall == ("c", "b")  # 16 / 4 = 4 needed, 1 works
    assert decision.desired == 4


def test_a_draining_worker_is_recalled_before_a_drained_one_that_ecs_might_be_stopping() -> None:
    assert decided(seen(worker("a", active=4), drained("b"), draining("c", active=3), queued=1)).recall == ("c",)


def test_of_two_draining_workers_the_one_that_runs_longer_is_recalled() -> None:
    younger = replace(draining("b", active=1), started_at=NOW - 60)
    decision = decided(seen(worker("a", active=4), younger, draining("c", active=2), queued=1))
    assert decision.recall == ("c",)  # 2 free slots: one for the message that waits, one spare


def test_a_recalled_worker_that_is_still_drained_counts_and_is_not_recalled_again() -> None:
    decision = decided(seen(worker("a", active=4), worker("b", DRAINED, order=ORDER_CONSUME), queued=4))
    assert (decision.recall, decision.desired) == ((), 2)


def test_no_worker_is_stopped_while_a_recalled_one_is_unprotected_or_about_to_be_recalled() -> None:
    back_soon = worker("b", DRAINED, order=ORDER_CONSUME)
    assert decided(seen(worker("a", active=4), back_soon, drained("c"))).desired == 3
    decision = decided(seen(worker("a", active=4), drained("b"), drained("c"), queued=1))
    assert (decision.recall, decision.desired) == (("b",), 3)


def test_a_surplus_must_last_before_workers_drain() -> None:
    observation = seen(worker("a"), worker("b"), worker("c"))
    first = decided(observation)
    assert first.drain == ()
    assert first.memory.surplus_since == NOW
    almost = decided(replace(observation, now=NOW + 29), first.memory)
    assert (almost.drain, almost.memory.surplus_since) == ((), NOW)
    assert "surplus of 2 for 29 s, scale-in after 30 s" in almost.reason
    assert decided(replace(observation, now=NOW + 30), first.memory).drain == ("b", "c")


def test_a_surplus_that_ends_for_one_tick_starts_again() -> None:
    assert decided(seen(worker("a", active=4), worker("b"), queued=1), LONG_SURPLUS).memory.surplus_since is None


def test_the_least_busy_consuming_workers_drain() -> None:
    decision = decided(seen(worker("a", active=3), worker("b", active=1), worker("c", active=0)), LONG_SURPLUS)
    assert decision.drain == ("c", "b")  # 4 / 4 = 1 needed
    assert decision.desired == 3


def test_starting_workers_do_not_make_a_consuming_one_superfluous() -> None:
    decision = decided(seen(worker("a"), worker("b", STARTING), worker("c", STARTING)), LONG_SURPLUS)
    assert decision.drain == ()


def test_the_desired_count_falls_by_drained_workers_and_they_are_remembered_as_stopping() -> None:
    decision = decided(seen(worker("a"), drained("b"), drained("c")))
    assert decision.desired == 1
    assert decision.memory.stopping == {"b": NOW, "c": NOW}


@pytest.mark.parametrize(
    "other",
    [
        worker("b", STARTING),
        worker("b", STARTING, order=ORDER_DRAIN),
        worker("b", active=1),
        draining("b", active=1),
        drained("b", protected=True),
        worker("b", DRAINED, order=ORDER_CONSUME),
        worker("b", DRAINED, order=None),
    ],
    ids=[
        "starting",
        "starting and told to drain",
        "consuming",
        "draining",
        "still protected",
        "recalled",
        "with its order lost",
    ],
)
def test_desired_never_falls_by_a_worker_that_is_not_surely_drained(other: Worker) -> None:
    assert decided(seen(worker("a", active=1), other), LONG_SURPLUS).desired == 2


def test_a_running_task_that_the_registry_does_not_know_counts_as_protected() -> None:
    # 4 ECS tasks run, two of which the registry does not know; 3 are desired. Only "b" may stop, and desired is already
    # lower by it.
    assert decided(seen(worker("a"), drained("b"), running=4, desired=3)).desired == 3


def test_a_stopping_worker_is_never_recalled_but_the_desired_count_rises() -> None:
    decision = decided(seen(worker("a", active=4), drained("b"), queued=4, desired=1), Memory(stopping={"b": NOW - 5}))
    assert (decision.recall, decision.desired) == ((), 2)
    assert decision.memory.stopping == {"b": NOW - 5}


def test_a_stopping_worker_lowers_the_desired_count_only_once() -> None:
    observation = seen(worker("a"), drained("b"), drained("c"), desired=2)
    decision = decided(observation, Memory(stopping={"b": NOW - 5}))
    assert decision.desired == 1
    assert decision.memory.stopping == {"b": NOW - 5, "c": NOW}


def test_a_stopping_worker_that_ecs_spared_counts_as_drained_again() -> None:
    observation = seen(worker("a", active=4), drained("b"), queued=1)
    spared = Memory(stopping={"b": NOW - STOPPING_HOLDS_S})
    assert decided(observation, spared).recall == ("b",)
    assert decided(observation, Memory(stopping={"b": NOW - STOPPING_HOLDS_S + 1})).recall == ()


def test_a_stopping_worker_that_is_not_seen_stays_remembered_until_ecs_must_have_acted() -> None:
    assert decided(seen(worker("a")), Memory(stopping={"b": NOW - 5})).memory.stopping == {"b": NOW - 5}
    assert decided(seen(worker("a")), Memory(stopping={"b": NOW - STOPPING_HOLDS_S})).memory.stopping == {}


def test_a_stopping_worker_that_was_recalled_by_hand_is_no_longer_stopping() -> None:
    assert decided(seen(worker("a"), worker("b")), Memory(stopping={"b": NOW - 5})).memory.stopping == {}


def test_a_silent_drained_worker_is_neither_recalled_nor_stopped() -> None:
    silent = drained("b", silent_s=SILENT_AFTER_S + 0.1)
    decision = decided(seen(worker("a", active=4), silent, queued=1))
    assert (decision.recall, decision.desired) == ((), 2)
    assert decided(seen(worker("a"), silent)).desired == 2
    assert decided(seen(worker("a"), replace(silent, silent_s=SILENT_AFTER_S))).desired == 1


def test_a_silent_consuming_worker_counts_until_the_registry_forgets_it() -> None:
    assert decided(seen(worker("a", silent_s=29), worker("b"), desired=1)).desired == 2


def test_a_worker_whose_order_was_lost_is_told_again_to_drain() -> None:
    decision = decided(seen(worker("a"), draining("b", order=None), drained("c", order=None)))
    assert set(decision.drain) == {"b", "c"}
    busy = decided(seen(worker("a", active=4), draining("b", order=None), drained("c", order=None), queued=1))
    assert (busy.recall, busy.drain) == (("b",), ("c",))


def test_a_stopped_worker_is_no_capacity() -> None:
    decision = decided(seen(worker("a", active=4), worker("b", STOPPED), worker("c", STOPPED), queued=1, running=1))
    assert "1 consuming" in decision.reason
    assert decided(seen(worker("a", STOPPED), desired=1, running=0)).desired == 1


def test_a_desired_count_below_the_protected_workers_is_corrected() -> None:
    assert decided(seen(worker("a", active=1), worker("b"), draining("c", active=1), desired=1)).desired == 3


def test_a_dead_worker_beside_its_replacement_does_not_raise_the_desired_count() -> None:
    # "a" died: the registry shows it for a while, ECS counts only its replacement "b".
    assert decided(seen(worker("a"), worker("b", STARTING), desired=1, running=1)).desired == 1


def test_boots_are_cancelled_once_they_have_not_been_needed_for_the_scale_in_time() -> None:
    observation = seen(worker("a", active=4), desired=5)
    first = decided(observation)
    assert first.desired == 5
    paid = replace(observation, now=NOW + CANCEL_AFTER_S)
    due = decided(paid, first.memory)
    assert (due.desired, due.memory.surplus_since) == (5, NOW + CANCEL_AFTER_S)
    assert "surplus of 4 for 0 s" in due.reason
    late = decided(replace(paid, now=paid.now + 30), due.memory)
    assert (late.desired, late.drain) == (1, ())
    assert "desired 5 -> 1" in late.reason


def waited_for(tasks: int) -> Memory:
    """Return the memory of boots whose first minute is over and that have not been needed for long."""
    return replace(LONG_SURPLUS, boots=Boots(launches=(Launch(at=NOW - CANCEL_AFTER_S, tasks=tasks),)))


def test_boots_are_not_cancelled_before_their_first_minute_is_over() -> None:
    both = (Launch(at=NOW - CANCEL_AFTER_S, tasks=1), Launch(at=NOW - CANCEL_AFTER_S + 1, tasks=3))
    decision = decided(seen(worker("a", active=4), desired=5), replace(LONG_SURPLUS, boots=Boots(launches=both)))
    assert decision.desired == 4
    assert decision.memory.boots.launches == (both[1],)


def test_a_pool_whose_first_worker_never_starts_returns_to_zero_with_its_last_task() -> None:
    policy = replace(POLICY, minimum=0)
    assert decided(seen(queued=1, desired=1), waited_for(1), policy).desired == 1
    assert decided(seen(desired=1), waited_for(1), policy).desired == 0


def test_needed_boots_are_not_cancelled_however_long_they_take() -> None:
    assert decided(seen(worker("a", active=4), queued=8, desired=5), waited_for(4)).desired == 3  # 8 / 4 beside "a"


def test_running_ecs_tasks_are_not_cancelled_as_they_may_hold_protection() -> None:
    two_unknown = seen(worker("a"), desired=5, running=3)
    assert decided(two_unknown, waited_for(4)).desired == 3
    assert decided(seen(worker("a"), worker("b", STARTING), desired=5), waited_for(3)).desired == 2


def test_no_boot_is_cancelled_while_a_recalled_worker_is_unprotected() -> None:
    back_soon = worker("b", DRAINED, order=ORDER_CONSUME)
    assert decided(seen(worker("a", active=4), back_soon, queued=1, desired=5), waited_for(3)).desired == 5


def test_a_desired_count_above_the_maximum_falls_only_as_workers_drain() -> None:
    policy = replace(POLICY, maximum=1)
    decision = decided(seen(worker("a", active=4), worker("b", active=4), queued=9), LONG_SURPLUS, policy)
    assert (decision.desired, decision.drain) == (2, ("b",))


@pytest.mark.parametrize("part", ["queued", "fleet", "service"])
def test_an_input_that_cannot_be_read_keeps_the_size_and_says_why(part: str) -> None:
    away: dict[str, Any] = {part: Unreadable(source=part, why="timed out")}
    observation = replace(seen(worker("a"), worker("b"), drained("c"), queued=100), **away)
    decision = decided(observation, Memory(surplus_since=NOW - 999, stopping={"x": NOW}))
    assert decision.desired == (None if part == "service" else 3)
    assert (decision.drain, decision.recall) == ((), ())
    assert f"{part}: timed out" in decision.reason
    assert decision.memory == Memory(surplus_since=None, stopping={"x": NOW})


def in_rollout(observation: Observation) -> Observation:
    assert isinstance(observation.service, Service)
    new, *_ = observation.service.deployments
    both = (new, replace(new, id="ecs-svc/0", status="ACTIVE"))
    return replace(observation, service=replace(observation.service, deployments=both))


@pytest.mark.parametrize("kind", ["malformed", "rollout"])
def test_a_malformed_member_or_a_rollout_prevents_scale_in_and_nothing_else(kind: str) -> None:
    def seen_with_obstacle(*workers: Worker, **other: Any) -> Observation:
        return seen(*workers, malformed=("?",), **other) if kind == "malformed" else in_rollout(seen(*workers, **other))

    decision = decided(seen_with_obstacle(worker("a"), worker("b"), drained("c")), LONG_SURPLUS)
    assert (decision.desired, decision.drain) == (3, ())
    assert decision.memory.surplus_since is None
    assert "no scale-in" in decision.reason
    assert decided(seen_with_obstacle(worker("a"), queued=9)).desired == 3


def test_old_and_new_workers_side_by_side_in_a_rollout_do_not_raise_desired() -> None:
    both = [worker(name, active=1) for name in "abcd"]
    assert decided(in_rollout(seen(*both, desired=2))).desired == 2


def test_the_oldest_wait_grows_while_the_same_message_is_the_oldest() -> None:
    observation = replace(seen(worker("a", active=4), queued=2), heads={"default": "m1", "default2": "m2"})
    first = decided(observation)
    assert first.oldest_wait_s == 0
    later = replace(observation, now=NOW + 20, heads={"default": "m1", "default2": "m3"})
    assert decided(later, first.memory).oldest_wait_s == 20
    taken = decided(replace(later, heads={"default": "m4"}), first.memory)
    assert taken.oldest_wait_s == 0
    assert set(taken.memory.heads) == {"default"}


def test_the_oldest_wait_is_unknown_while_queues_are_unreadable_and_resumes_afterwards() -> None:
    first = decided(replace(seen(worker("a"), queued=1), heads={"default": "m1"}))
    blind = replace(seen(worker("a")), now=NOW + 15, queued=Unreadable(source="queues", why="away"))
    held = decided(blind, first.memory)
    assert held.oldest_wait_s is None
    again = replace(seen(worker("a"), queued=1), now=NOW + 30, heads={"default": "m1"})
    assert decided(again, held.memory).oldest_wait_s == 30


@pytest.mark.parametrize("kept", ["paused", "service away"])
def test_the_oldest_wait_is_measured_even_while_the_size_is_kept(kept: str) -> None:
    first = decided(replace(seen(worker("a"), queued=1), heads={"default": "m1"}))
    later = replace(seen(worker("a"), queued=1), now=NOW + 20, heads={"default": "m1"})
    assert isinstance(later.service, Service)
    service = replace(later.service, paused=True) if kept == "paused" else Unreadable(source="service", why="away")
    assert decided(replace(later, service=service), first.memory).oldest_wait_s == 20


def test_a_clock_that_went_back_makes_no_negative_wait() -> None:
    first = decided(replace(seen(worker("a"), queued=1), heads={"default": "m1"}))
    earlier = replace(seen(worker("a"), queued=1), now=NOW - 60, heads={"default": "m1"})
    assert decided(earlier, first.memory).oldest_wait_s == 0


def test_a_clock_that_went_back_does_not_stop_the_surplus_from_ending() -> None:
    decision = decided(seen(worker("a"), worker("b")), Memory(surplus_since=NOW + 500))
    assert decision.memory.surplus_since == NOW


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"surplus_since": None, "released": {}},
        {"surplus_since": 2, "released": {"a": 1.5}, "heads": {"default": ["0123", 2.5]}},
        {"sights": [[1.5, 3], [6.5, 0]], "launches": [[1.5, 2]], "boots_took": [61.5, 0]},
        {"racing": [-120.5, 30, 7, 1.5, 2]},
        {"racing": [], "pace": [120.5, 30.0, 1.5, 7, 5]},  # the last release's
    ],
)
def test_memory_survives_being_stored(record: dict[str, Any]) -> None:
    memory = Memory.from_record(record)
    assert Memory.from_record(memory.to_record()) == memory


@pytest.mark.parametrize(
    "record",
    [
        {"surplus_since": "noon"},
        {"released": ["a"]},
        {"released": {"a": True}},
        {"surplus_since": float("nan")},
        {"heads": []},
        {"heads": {"q": ["0123"]}},
        {"heads": {"q": [1, 2]}},
        {"sights": {}},
        {"sights": [[1.5, -1]]},
        {"sights": [[1.5, 1]] * 65},
        {"launches": [[1.5]]},
        {"launches": [[float("inf"), 1]]},
        {"boots_took": [-1]},
        {"boots_took": [1] * 51},
        {"boots_took": None},
        {"racing": None},
        {"racing": [1.0, 2, 3, 4.0]},
        {"racing": [1.0, 2, 3, 4.0, 3]},
        {"racing": [float("nan"), 2, 3, 4.0, 1]},
        {"racing": [-1e300, 2, 3, 4.0, 1]},
        {"racing": [True, 2, 3, 4.0, 1]},
        {"racing": [1.0, 2.5, 3, 4.0, 1]},
        {"racing": [1.0, 2, -3, 4.0, 1]},
        {"racing": [1.0, 2, 10**10, 4.0, 1]},
        {"racing": [1.0, 2, 3, -4.0, 1]},
    ],
)
def test_invalid_memory_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"surplus_since|released|heads|sights|launches|boots_took|racing"):
        Memory.from_record(record)


def test_a_worker_that_takes_no_messages_has_no_free_slots() -> None:
    stuck = worker("stuck", trouble="no answer to its requests for messages")
    decision = decided(seen(stuck, queued=4))
    assert decision.desired == 2  # the 4 messages fit in its 4 slots, but it takes none
    assert "1 taking no messages" in decision.reason


def test_a_worker_that_takes_no_messages_drains_first() -> None:
    stuck = worker("stuck", trouble="not connected to its queues", active=1)
    decision = decided(seen(stuck, worker("well"), queued=0), LONG_SURPLUS)
    assert decision.drain == ("stuck",)


def test_workers_count_with_the_slots_that_their_memory_allows_for() -> None:
    """Four waiting tasks need two more workers where each takes two of its four slots; it would be one with four."""
    short = tuple(worker(name, active=2, slots=2, declared_slots=4) for name in "ab")
    decision = decided(seen(*short, queued=4))
    assert (decision.needed, decision.desired) == (4, 4)
    assert "memory: workers take 2 of 4 slots" in decision.reason
    roomy = decided(seen(*(worker(name, active=4) for name in "ab"), queued=4))
    assert (roomy.needed, roomy.desired) == (3, 3)
    assert "memory" not in roomy.reason


def test_a_worker_that_takes_no_messages_says_nothing_about_slots() -> None:
    short = worker("a", active=2, slots=2, declared_slots=4, trouble="not connected to its queues")
    assert "memory" not in decided(seen(short, queued=4)).reason
