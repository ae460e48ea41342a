"""A pool that is put to sleep: its workers drain as always, none starts, and it wakes."""

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.decide import Decision, decide
from autoscaler.memory import Memory
from autoscaler.observation import Fleet, Observation, Service, Worker
from autoscaler.policy import Policy
from fleet.member import CONSUMING, DRAINED
from tests.support.any_pool import CONCURRENCY, NOW, holds_work, memories, observations, parts, policies
from tests.support.pool_world import World

TICKS = 20
seeds = st.integers(0, 2**32)
forecasts = st.lists(st.tuples(st.integers(-30, 120), st.integers(1, 40)), max_size=3)


def put_to_sleep(observation: Observation) -> Observation:
    _, service = parts(observation)
    return replace(observation, service=replace(service, asleep=True))


def decided(observation: Observation, policy: Policy, memory: Memory) -> Decision:
    return decide(put_to_sleep(observation), policy, memory)


@given(observations(), policies, memories)
def test_no_worker_of_a_sleeping_pool_is_started_or_recalled(
    observation: Observation, policy: Policy, memory: Memory
) -> None:
    fleet, service = parts(observation)
    decision = decided(observation, policy, memory)
    assert decision.desired is not None
    assert decision.recall == ()
    # A rollout starts new workers. The desired count may then rise by the old workers that still hold protection.
    most = sum(map(holds_work, fleet.workers)) if service.is_rolling_out else service.running
    assert decision.desired <= max(service.desired, most)


def test_no_worker_is_launched_beside_a_drained_one_that_is_old() -> None:
    worker = Worker(
        id="old", state=DRAINED, active=0, slots=CONCURRENCY, protected=False, order=None, started_at=NOW - 7200
    )
    service = Service(desired=0, running=0, pending=0, deployments=())
    observation = Observation(now=NOW, queued={"default": 1}, fleet=Fleet(workers=(worker,)), service=service)
    policy = Policy(minimum=0, maximum=10, concurrency=CONCURRENCY, max_age_s=3600.0)
    assert decided(observation, policy, Memory()).desired == 0


@given(observations(), policies, memories)
def test_no_busy_worker_can_be_stopped(observation: Observation, policy: Policy, memory: Memory) -> None:
    fleet, service = parts(observation)
    desired = decided(observation, policy, memory).desired
    assert desired is not None
    assert desired >= min(service.desired, sum(map(holds_work, fleet.workers)))


@given(observations(), policies, memories)
def test_every_worker_that_takes_messages_is_told_to_drain(
    observation: Observation, policy: Policy, memory: Memory
) -> None:
    """Check it without malformed records, as such a record could belong to any worker."""
    observation = replace(observation, fleet=replace(parts(observation)[0], malformed=()))
    fleet, _ = parts(observation)
    decision = decided(observation, policy, memory)
    takes = {w.id for w in fleet.workers if w.state == CONSUMING and not w.is_ordered_to_drain and not w.has_ended}
    assert takes <= {*decision.drain, *decision.memory.stopping}


@given(observations(), policies, memories, forecasts)
def test_no_forecast_is_followed(
    observation: Observation, policy: Policy, memory: Memory, coming: list[tuple[int, int]]
) -> None:
    forecast = tuple((int(NOW) + in_s, slots) for in_s, slots in coming)
    assert decided(replace(observation, forecast=forecast), policy, memory) == decided(observation, policy, memory)


@settings(max_examples=200, deadline=None)
@given(seed=seeds, policy=policies.filter(lambda policy: policy.maximum > 0))
def test_in_any_interleaving_a_sleeping_pool_empties_without_a_killed_task_and_works_again_when_it_wakes(
    seed: int, policy: Policy
) -> None:
    """The world itself holds, after each move, that ECS may stop no busy worker."""
    world = World(dice=Random(seed), policy=policy, desired=policy.minimum)
    for _ in range(TICKS):
        world.queued += world.dice.choice([0, 0, 1, 5, 30])
        world.step()
    most, world.asleep = max(world.desired, len(world.tasks)), True
    for _ in range(TICKS):
        world.step()
        assert world.desired <= most, "a worker was started"
    for task in world.tasks:
        task.active = 0
    world.settle(ticks=TICKS)
    assert (world.desired, world.tasks) == (0, [])
    world.asleep = False
    world.settle(ticks=TICKS)
    consuming = [task for task in world.tasks if task.state == CONSUMING]
    assert len(consuming) >= policy.minimum
    assert len(consuming) * CONCURRENCY >= world.queued or len(consuming) >= policy.maximum


@settings(max_examples=100, deadline=None)
@given(seed=seeds, policy=policies.filter(lambda policy: policy.maximum > 0))
def test_a_worker_that_still_drains_is_recalled_when_the_pool_wakes_and_none_is_started_for_its_slots(
    seed: int, policy: Policy
) -> None:
    world = World(dice=Random(seed), policy=policy, desired=policy.minimum, queued=CONCURRENCY * policy.maximum)
    world.settle(ticks=TICKS)
    world.work()
    for task in world.tasks:
        task.active = 1  # each holds a task while it drains
    world.queued, world.asleep = 0, True
    world.settle(ticks=TICKS)
    there = {task.id for task in world.tasks}
    assert not any(task.state == CONSUMING for task in world.tasks)
    world.queued, world.asleep = CONCURRENCY - 1, False
    world.settle(ticks=2)
    assert {task.id for task in world.tasks} == there
    assert any(task.state == CONSUMING for task in world.tasks)
