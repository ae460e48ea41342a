"""Properties of every decision, and of decisions that follow one another."""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.decide import Decision, decide
from autoscaler.memory import Memory
from autoscaler.observation import Observation, Unreadable
from autoscaler.policy import Policy
from autoscaler.retirement import retiring
from fleet.member import CONSUMING, STOPPED
from tests.support.any_pool import CONCURRENCY, NOW, holds_work, memories, observations, parts, policies
from tests.support.pool_world import World


@given(observations(), policies, memories)
def test_desired_stays_within_the_limits_unless_more_are_there_already(
    observation: Observation, policy: Policy, memory: Memory
) -> None:
    fleet, service = parts(observation)
    desired = decide(observation, policy, memory).desired
    assert desired is not None
    assert policy.minimum <= desired
    is_replacing = service.is_rolling_out or retiring(fleet, service, policy, now=observation.now)
    more = policy.maximum if is_replacing else 0  # new workers beside the old ones
    assert desired <= max(policy.maximum, service.desired, more + sum(map(holds_work, fleet.workers)))


@given(observations(), policies, memories)
def test_desired_never_falls_below_the_workers_that_may_hold_a_task(
    observation: Observation, policy: Policy, memory: Memory
) -> None:
    fleet, service = parts(observation)
    desired = decide(observation, policy, memory).desired
    assert desired is not None
    assert desired >= min(service.desired, sum(map(holds_work, fleet.workers)))


@given(observations(), policies, memories)
def test_desired_falls_by_no_more_than_the_newly_stopping_workers_and_the_ecs_tasks_that_do_not_run(
    observation: Observation, policy: Policy, memory: Memory
) -> None:
    fleet, service = parts(observation)
    decision = decide(observation, policy, memory)
    assert decision.desired is not None
    released = {name for name, at in decision.memory.stopping.items() if memory.stopping.get(name) != at}
    idle = sum(not holds_work(worker) for worker in fleet.workers)
    # ECS tasks that run and are not idle may hold protection, whether the registry knows them or not.
    unstarted = service.desired - (service.running - idle)
    assert max(0, service.desired - decision.desired) <= max(unstarted, len(released))
    assert released <= {worker.id for worker in fleet.workers if not holds_work(worker)}


@given(observations(), policies, memories)
def test_orders_are_for_live_workers_only_once_each_and_never_for_a_stopping_one(
    observation: Observation, policy: Policy, memory: Memory
) -> None:
    fleet, _ = parts(observation)
    decision = decide(observation, policy, memory)
    ordered = decision.drain + decision.recall
    assert len(set(ordered)) == len(ordered)
    assert set(ordered) <= {worker.id for worker in fleet.workers if worker.state != STOPPED}
    assert not set(ordered) & set(decision.memory.stopping)


def opened(observation: Observation, decision: Decision) -> int:
    """Count the free slots of the workers that take messages from now on, including those that are starting."""
    fleet, _ = parts(observation)
    opened = [
        w for w in fleet.workers if w.id in decision.recall or not (w.is_ordered_to_drain or w.id in decision.drain)
    ]
    return sum(worker.free_slots for worker in opened)


@given(observations(), policies, memories, st.integers(1, 50))
def test_more_work_never_means_fewer_workers(
    observation: Observation, policy: Policy, memory: Memory, more: int
) -> None:
    assert not isinstance(observation.queued, Unreadable)
    queued = observation.queued["default"] + more
    busier = replace(observation, queued={"default": queued})
    less, much = decide(observation, policy, memory), decide(busier, policy, memory)
    assert less.desired is not None
    assert much.desired is not None
    assert less.desired <= much.desired
    # Other workers may consume, with fewer spare slots, but no more tasks may wait.
    assert opened(busier, much) >= min(opened(observation, less), queued)


@given(observations(), policies, memories, st.lists(st.tuples(st.integers(-30, 120), st.integers(1, 40)), max_size=3))
def test_a_forecast_only_adds(
    observation: Observation, policy: Policy, memory: Memory, coming: list[tuple[int, int]]
) -> None:
    forecast = tuple((int(NOW) + in_s, slots) for in_s, slots in coming)
    without, given = (decide(replace(observation, forecast=each), policy, memory) for each in (None, forecast))
    assert without.desired is not None
    assert given.desired is not None
    assert without.desired <= given.desired
    assert set(without.recall) <= set(given.recall)
    assert set(given.drain) <= set(without.drain)


@given(observations(), policies, memories, st.sets(st.sampled_from(["queued", "fleet", "service"]), min_size=1))
def test_unreadable_input_changes_nothing(
    observation: Observation, policy: Policy, memory: Memory, missing: set[str]
) -> None:
    _, service = parts(observation)
    away: dict[str, Any] = {part: Unreadable(source=part, why="away") for part in missing}
    blind = replace(observation, **away)
    decision = decide(blind, policy, memory)
    assert decision.desired == (None if "service" in missing else service.desired)
    assert (decision.drain, decision.recall) == ((), ())


@given(observations(), policies, memories)
def test_a_second_decision_on_the_same_observation_changes_nothing_more(
    observation: Observation, policy: Policy, memory: Memory
) -> None:
    """Decide twice, as a duplicate invocation does: it observes the same, with the memory of the first one.

    Where boots race, the first decision may have ended some races, of which the second one still observes the boots: it
    can count each of these racers once more, or once less; so it can those that the first one launches.
    """
    first = decide(observation, policy, memory)
    assert first.desired is not None
    again = decide(observation, policy, first.memory)
    assert again.desired is not None
    budgets = (memory.racing, first.memory.racing, again.memory.racing) if policy.boots_per_task else ()
    unraced = decide(observation, replace(policy, boots_per_task=0.0), memory).desired
    assert unraced is not None
    raced = max((max(budget.racers, budget.fresh) for budget in budgets), default=0)
    raced = max(raced, first.desired - unraced)
    # Workers that the first decision stops are not counted again; the desired count does not exceed its old value.
    assert first.desired - raced <= again.desired <= max(first.desired, parts(observation)[1].desired) + raced
    assert again.recall == first.recall


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32), policy=policies)
def test_in_any_interleaving_no_busy_worker_is_stoppable_and_the_size_becomes_right(seed: int, policy: Policy) -> None:
    world = World(dice=Random(seed), policy=policy, desired=policy.minimum)
    for _ in range(40):
        world.queued += world.dice.choice([0, 0, 0, 0, 1, 5, 30])
        world.step()
    world.settle(ticks=20)
    consuming = [task for task in world.tasks if task.state == CONSUMING]
    free = sum(CONCURRENCY - task.active for task in consuming)
    assert free >= world.queued or len(consuming) >= policy.maximum, "tasks wait that could run"
    assert len(consuming) >= policy.minimum
    empty = sum(not task.active for task in consuming)
    assert empty <= max(policy.minimum, -(-world.queued // CONCURRENCY)), "an empty worker is kept"
    assert all(task.active for task in world.tasks if task.state != CONSUMING), "an idle worker is kept"
