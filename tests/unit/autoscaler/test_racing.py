"""Races of boots, and the budget that limits what their losers cost."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.boots import Boots, Launch
from autoscaler.decide import decide
from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Fleet, Observation, Service, Worker
from autoscaler.policy import Policy
from autoscaler.racing import LATELY_S, LONGEST_GAP_S, MOST_COST_S, Budget, boots_needed, boots_raced, racers_to_launch
from bench.loads.load import Load, load_of
from bench.policies.own_autoscaler import OwnAutoscaler
from bench.sim.ecs import MINIMUM_S
from bench.sim.trial import Setting, run_trial
from fleet.member import CONSUMING

NOW = 1_000_000.0
POLICY = Policy(minimum=0, maximum=1000, concurrency=16, boots_per_task=0.7, racing_budget=0.05)
RICH = Budget(left_s=1e6, at=NOW - 1)


@pytest.mark.parametrize(
    ("tasks", "boots"),
    [
        (0, 0),
        (1, 1),  # ceil(0.7 x 1)
        (40, 28),  # 0.7 x 40, where 40 / 16 rounded up = 3 would do
        (100, 30),  # 70 would race for what 7 can do
        (320, 60),  # three times 320 / 16
        (1000, 100),  # three times 63 is more than ECS launches at once
        (1616, 101),  # all of them are needed
    ],
)
def test_the_boots_that_race_are_limited_by_the_need_and_by_ecs_burst_of_launches(tasks: int, boots: int) -> None:
    assert boots_raced(tasks, POLICY, half_way=0) == boots


@pytest.mark.parametrize(
    ("half_way", "boots"),
    [
        (0, 28),
        (1, 18),  # the one, and 0.7 x 24
        (2, 8),
        (3, 3),  # all that are needed
        (9, 3),
    ],
)
def test_no_boot_races_for_tasks_that_half_way_boots_will_serve(half_way: int, boots: int) -> None:
    assert boots_raced(40, POLICY, half_way=half_way) == boots


@pytest.mark.parametrize(
    ("booting", "racers", "left_s", "expected"),
    [
        (0, 0, 1e6, 25),  # 28 boots race where 3 would do
        (3, 0, 1e6, 25),  # the needed ones are under way already
        (28, 25, 1e6, 0),  # all are under way
        (9, 0, 1e6, 19),  # nine boot in any case
        (0, 0, 2 * MOST_COST_S, 2),  # all that the budget allows
        (0, 0, MOST_COST_S - 1, 0),
        (0, 0, -1e6, 0),
    ],
)
def test_boots_race_as_far_as_the_budget_reaches(booting: int, racers: int, left_s: float, expected: int) -> None:
    budget = Budget(left_s=left_s, racers=racers)
    assert racers_to_launch(28, needed=3, booting=booting, budget=budget) == expected


def test_the_budget_is_a_share_of_what_the_workers_cost() -> None:
    budget = Budget().earn(10, share=0.05, now=NOW).earn(10, share=0.05, now=NOW + 60)
    assert budget.left_s == pytest.approx(0.05 * 10 * 60)


def test_only_workers_that_ran_at_both_ticks_count_and_only_if_these_are_close() -> None:
    assert Budget(workers=9, at=NOW).earn(2, share=1, now=NOW + 10).left_s == 20
    assert Budget(workers=2, at=NOW).earn(9, share=1, now=NOW + 10).left_s == 20
    assert Budget(workers=2, at=NOW).earn(2, share=1, now=NOW + 3600).left_s == 2 * LONGEST_GAP_S
    assert Budget(workers=2, at=NOW).earn(2, share=1, now=NOW - 3600).left_s == 0  # the clock went back


def test_what_was_not_spent_is_forgotten_within_days() -> None:
    assert RICH.earn(0, share=0.05, now=NOW + 20 * LATELY_S).affordable == 0


def test_a_cancelled_racer_costs_a_minute_at_least_and_one_that_has_booted_what_was_set_aside() -> None:
    two = Budget(left_s=300).launch(2)
    assert (two.left_s, two.racers) == (60, 2)
    assert two.settle(cancelled=2, age_s=55, booting=0) == Budget(left_s=180)
    assert two.settle(cancelled=1, age_s=80, booting=1) == Budget(left_s=100, racers=1, fresh=1)
    assert two.settle(cancelled=0, age_s=40, booting=0) == Budget(left_s=60)
    assert two.settle(cancelled=9, age_s=200, booting=9) == Budget(left_s=-100)  # late ticks: the next race waits


@given(
    st.lists(
        st.tuples(st.floats(1, 60), st.integers(0, 300), st.integers(0, 400), st.booleans()), min_size=1, max_size=60
    ),
    st.sampled_from([0.0, 0.05, 0.5]),
)
def test_racers_never_cost_more_than_their_share_of_the_workers(
    steps: list[tuple[float, int, int, bool]], share: float
) -> None:
    """Each racer is cancelled by the next tick, or boots; that is a minute later at most."""
    budget, now, before = Budget(), NOW, 0
    cost_s = workers_s = 0.0
    under_way: list[float] = []
    for gap_s, workers, tasks, is_cancelled in steps:
        now += gap_s
        workers_s += min(workers, before) * gap_s
        before = workers
        budget = budget.earn(workers, share=share, now=now)
        needed = boots_needed(tasks, POLICY)
        wanted = boots_raced(tasks, POLICY, half_way=0)
        racers = racers_to_launch(wanted, needed=needed, booting=needed + budget.racers, budget=budget)
        age_s = now - under_way[0] if under_way else 0.0
        losers = len(under_way) if is_cancelled else 0
        cost_s += sum(max(MINIMUM_S, now - at) for at in under_way)  # a winner counts like a loser
        under_way = [now] * racers
        budget = budget.launch(racers).settle(cancelled=losers, age_s=age_s, booting=needed + racers)
        at_least_s = cost_s + MINIMUM_S * len(under_way)
        assert at_least_s <= share * workers_s + 1e-6


class Watched(OwnAutoscaler):
    """Records what the racers cost at most that were launched beyond the need, and what all workers cost."""

    racers = 0

    def tick(self) -> float | None:
        before = self._memory.racing.racers
        until = super().tick()
        self.racers += max(0, self._memory.racing.racers - before)
        return until


def bursts(seed: int, *, mean_s: float) -> Load:
    dice = Random(seed)
    starts = sorted(dice.random() * 40_000 for _ in range(60))
    pairs = [(dice.choice(starts) + dice.random() * 5, dice.expovariate(1 / mean_s)) for _ in range(900)]
    return load_of("bursts", pairs)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000), mean_s=st.sampled_from([5.0, 60.0, 600.0]), period_s=st.sampled_from([5.0, 15.0, 60.0])
)
def test_on_any_load_races_cost_no_more_than_their_budget(seed: int, mean_s: float, period_s: float) -> None:
    setting = Setting(slots=4, minimum=0)
    policy = replace(POLICY, concurrency=4, boots_per_task=1.0)
    scaler = Watched(policy, period_s=period_s)
    outcome = run_trial(scaler, load=bursts(seed, mean_s=mean_s), setting=setting, seed=seed)
    assert scaler.racers * MINIMUM_S <= policy.racing_budget * outcome.worker_hours * 3600


def test_without_a_budget_boots_race_beyond_any_share() -> None:
    """What the property above would find if nothing limited the races."""
    policy = replace(POLICY, concurrency=4, boots_per_task=1.0, racing_budget=1e9)
    scaler = Watched(policy, period_s=5.0)
    outcome = run_trial(scaler, load=bursts(1, mean_s=5.0), setting=Setting(slots=4, minimum=0), seed=1)
    assert scaler.racers * MINIMUM_S > 0.05 * outcome.worker_hours * 3600


def seen(*, queued: int, desired: int, at: float = NOW) -> Observation:
    busy = Worker(
        id="a", state=CONSUMING, active=4, slots=4, protected=True, order=None, started_at=NOW - 600, deployment="1"
    )
    deployment = Deployment(id="1", status="PRIMARY", task_definition="worker:1", running=1)
    service = Service(desired=desired, running=1, pending=desired - 1, deployments=(deployment,))
    return Observation(now=at, queued={"default": queued}, fleet=Fleet(workers=(busy,)), service=service)


RACING = replace(POLICY, concurrency=4, boots_per_task=0.65)


@pytest.mark.parametrize(
    ("queued", "left_s", "desired"),
    [
        (1, 1e6, 2),  # ceil(0.65 x 1) = 1 more
        (20, 1e6, 14),  # ceil(0.65 x 20) = 13 more, where ceil(20 / 4) = 5 would do
        (20, 3 * MOST_COST_S, 9),  # 5 and 3
        (20, 0, 6),
        (200, 1e6, 101),  # 130 more would be beyond ECS's burst of 100 launches
        (600, 1e6, 151),  # but 600 / 4 are needed
    ],
)
def test_more_workers_are_launched_than_are_needed_so_that_the_first_ones_are_early(
    queued: int, left_s: float, desired: int
) -> None:
    decision = decide(seen(queued=queued, desired=1), RACING, Memory(racing=Budget(left_s=left_s * 1.0001, at=NOW - 1)))
    assert decision.desired == desired
    assert decision.memory.racing.racers == desired - 1 - -(-queued // 4)
    assert ("boots race" in decision.reason) == (decision.memory.racing.racers > 0)


def test_a_repeated_tick_launches_the_same_racers_from_the_same_budget() -> None:
    first = decide(seen(queued=20, desired=1), RACING, Memory(racing=Budget(left_s=3 * MOST_COST_S, at=NOW - 9)))
    again = decide(seen(queued=20, desired=1), RACING, first.memory)
    assert (again.desired, again.memory.racing) == (first.desired, first.memory.racing)
    assert first.desired == 6 + 2  # what was saved 9 s ago is a little less than three racers cost


def test_no_boot_races_in_the_place_of_one_that_the_same_tick_has_cancelled() -> None:
    """Lambda can invoke a function twice for one tick, which observes the same."""
    deployment = Deployment(id="ecs-svc/0", status="PRIMARY", task_definition="worker:1", running=0)
    service = Service(desired=3, running=0, pending=0, deployments=(deployment,))
    observation = Observation(now=NOW, queued={"default": 5}, fleet=Fleet(workers=()), service=service)
    policy = replace(RACING, boots_per_task=0.65, scale_in_after_s=0.0)
    memory = Memory(
        boots=Boots(launches=(Launch(at=NOW - 120, tasks=1),)), racing=Budget(left_s=MOST_COST_S + 1, at=NOW - 600)
    )
    first = decide(observation, policy, memory)
    again = decide(observation, policy, first.memory)
    assert (first.desired, again.desired) == (2, 3)


def test_a_race_ends_when_its_first_minute_is_paid() -> None:
    first = decide(seen(queued=20, desired=1), RACING, Memory(racing=RICH))
    assert first.desired == 14
    later = decide(seen(queued=20, desired=14, at=NOW + 50), RACING, first.memory)
    assert (later.desired, later.memory.racing.racers) == (14, 8)
    over = decide(seen(queued=20, desired=14, at=NOW + 55), RACING, later.memory)
    assert (over.desired, over.memory.racing.racers) == (6, 0)


def test_where_no_boots_race_no_budget_is_remembered() -> None:
    decision = decide(seen(queued=20, desired=1), replace(RACING, boots_per_task=0.0), Memory(racing=RICH))
    assert (decision.desired, decision.memory.racing) == (6, Budget())
    assert decision.memory.to_record()["racing"] == []
