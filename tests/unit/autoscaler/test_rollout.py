"""A rolling deployment: old workers drain as new ones consume. It ends by itself and kills no task."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.decide import Decision, decide
from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Fleet, Observation, Service, Unreadable, Worker
from autoscaler.policy import Policy, workers_needed
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN
from local.fargate.reconcile import ServiceView, TaskView, plan

NOW = 1_000_000.0
SLOTS = 4
POLICY = Policy(minimum=1, maximum=10, concurrency=SLOTS, scale_in_after_s=30)
OLD, NEW = "ecs-svc/1", "ecs-svc/2"
TICK_EVERY_S = 15
QUIET_S = 4 * TICK_EVERY_S  # scale_in_after_s, and two ticks


def worker(name: str, state: str = CONSUMING, *, active: int = 0, **other: Any) -> Worker:
    """Return a worker; it belongs to the old deployment if its name begins with "o"."""
    plain = Worker(
        id=name,
        state=state,
        active=active,
        slots=SLOTS,
        protected=state in (CONSUMING, DRAINING),
        order=ORDER_DRAIN if state in (DRAINING, DRAINED) else None,
        started_at=NOW - 600,
        deployment=OLD if name.startswith("o") else NEW,
    )
    return replace(plain, **other)


def seen(*workers: Worker, desired: int, queued: int = 0, running: int | None = None, **other: Any) -> Observation:
    running = len(workers) if running is None else running
    deployments = tuple(
        Deployment(id=name, status=status, task_definition="worker:1", running=1)
        for name, status in ((NEW, "PRIMARY"), (OLD, "ACTIVE"))
    )
    service = Service(desired=desired, running=running, pending=0, deployments=deployments)
    fleet = Fleet(workers=workers, malformed=other.pop("malformed", ()))
    return Observation(now=NOW, queued={"default": queued}, fleet=fleet, service=service, **other)


def decided(observation: Observation, policy: Policy = POLICY, memory: Memory | None = None) -> Decision:
    return decide(observation, policy, Memory() if memory is None else memory)


def test_nothing_changes_before_new_workers_are_there() -> None:
    decision = decided(seen(worker("o1", active=4), worker("o2", active=4), desired=2))
    assert (decision.desired, decision.drain) == (2, ())


def test_desired_rises_so_that_new_workers_can_take_protection() -> None:
    busy = [worker("o1", active=4), worker("o2", active=4)]
    one = decided(seen(*busy, worker("n1", STARTING), desired=2))
    assert (one.desired, one.drain) == (3, ())  # 2 old are protected, 1 new is there
    both = decided(seen(*busy, worker("n1", STARTING), worker("n2", STARTING), desired=2))
    assert both.desired == 4
    assert "desired 2 -> 4" in both.reason


def test_the_raise_covers_only_needed_workers_and_does_not_cause_another() -> None:
    old, new = worker("o1", active=4), [worker(f"n{n}", STARTING) for n in range(4)]
    assert decided(seen(old, *new, desired=1)).desired == 2  # 4 / 4 = 1 needed beside 1 old
    assert decided(seen(old, *new, desired=2)).desired == 2


def test_the_raise_causes_no_other_while_draining_new_workers_hold_protection() -> None:
    at_work = [worker("o1", DRAINING, active=4), worker("n1", active=4), worker("n2", active=4)]
    draining = [worker("n3", DRAINING, active=2), worker("n4", DRAINING, active=2)]
    started: list[Worker] = []
    desired = 3
    for _ in range(10):  # ECS starts as many new ones as are desired
        raised = decided(seen(*at_work, *draining, *started, desired=desired)).desired
        assert raised == 5  # as many as are protected: 4 are needed, and these 4 are the new ones
        desired = raised
        started = [worker(f"n{number}", STARTING) for number in range(5, desired + 1)]


def test_the_maximum_is_exceeded_by_the_old_workers_that_stay() -> None:
    policy = replace(POLICY, maximum=2)
    old = [worker("o1", active=4), worker("o2", active=4)]
    new = [worker("n1", STARTING), worker("n2", STARTING), worker("n3", STARTING)]
    assert decided(seen(*old, *new, queued=99, desired=2), policy).desired == 4


def test_as_many_old_workers_drain_as_new_ones_consume() -> None:
    old = [worker("o1", active=4), worker("o2", active=3), worker("o3", active=4)]  # 11 / 4, rounded up: 3
    assert decided(seen(*old, worker("n1", STARTING), desired=4)).drain == ()
    assert decided(seen(*old, worker("n1"), worker("n2", STARTING), desired=5)).drain == ("o2",)
    assert decided(seen(*old, worker("n1"), worker("n2"), worker("n3"), desired=6)).drain == ("o2", "o1", "o3")


def test_old_workers_beyond_what_is_needed_wait_for_a_new_one_too() -> None:
    idle = [worker("o1"), worker("o2")]
    assert decided(seen(*idle, worker("n1", STARTING), desired=2)).drain == ()
    assert decided(seen(*idle, worker("n1"), desired=3)).drain == ("o1", "o2")


def test_a_new_worker_that_takes_no_messages_replaces_no_old_one() -> None:
    stuck = worker("n1", trouble="no answer to its requests for messages")
    assert decided(seen(worker("o1"), stuck, desired=2)).drain == ()
    assert decided(seen(worker("o1"), replace(stuck, trouble=""), desired=2)).drain == ("o1",)


def test_an_old_worker_that_has_not_begun_to_consume_drains_first() -> None:
    old = [worker("o1"), worker("o2", STARTING, active=0)]
    assert decided(seen(*old, worker("n1"), queued=8, desired=3)).drain == ("o2",)


def test_without_demand_and_with_a_minimum_of_zero_old_workers_need_no_successor() -> None:
    assert decided(seen(worker("o1"), desired=1), replace(POLICY, minimum=0)).drain == ("o1",)


def test_new_workers_that_only_the_raise_started_are_told_to_drain_before_they_consume() -> None:
    new = [worker("n1"), worker("n2", STARTING), worker("n3", STARTING, protected=True)]
    assert decided(seen(worker("o1", DRAINING, active=4), *new, desired=3)).drain == ("n2",)  # 1 needed
    assert decided(seen(worker("o1", DRAINING, active=4), *new, desired=3, queued=4)).drain == ("n2",)
    assert decided(seen(worker("o1", DRAINING, active=4), *new, desired=3, queued=8)).drain == ()


def test_the_new_workers_that_started_first_are_kept() -> None:
    late = worker("n1", STARTING, started_at=NOW)
    assert decided(seen(worker("o1", active=4), late, worker("n2", STARTING), desired=2)).drain == ("n1",)


def test_desired_falls_with_each_old_worker_that_has_drained() -> None:
    new = [worker("n1", active=4), worker("n2", active=4)]
    gone, going = worker("o1", DRAINED), worker("o2", DRAINING, active=1)
    assert decided(seen(*new, going, gone, desired=4)).desired == 3  # 2 new and 1 old hold protection
    assert decided(seen(*new, gone, replace(gone, id="o2"), desired=4)).desired == 2


def test_desired_falls_by_tasks_that_do_not_run_yet_but_not_by_those_that_may_have_protection() -> None:
    new = [worker("n1", active=4)]
    assert decided(seen(*new, worker("o1", DRAINED), desired=4, running=2)).desired == 1
    assert decided(seen(*new, worker("o1", DRAINED), desired=4, running=4)).desired == 3  # two are not in the registry


def test_drained_old_workers_are_not_recalled_as_the_rollout_may_be_stopping_them() -> None:
    decision = decided(seen(worker("n1", active=4), worker("o1", DRAINED), queued=4, desired=1))
    assert (decision.recall, decision.desired) == ((), 2)


def test_draining_new_workers_are_recalled_when_more_are_needed_and_old_ones_never() -> None:
    leaving = [worker("o1", DRAINING, active=1), worker("n2", DRAINED)]
    assert decided(seen(worker("n1", active=4), *leaving, queued=4, desired=3)).recall == ("n2",)
    much = decided(seen(worker("n1", active=4), *leaving, queued=50, desired=3))
    assert (much.recall, much.desired) == (("n2",), POLICY.maximum)  # a new scheduler may rely on o1 having stopped


def test_a_protected_draining_new_worker_is_recalled_before_another_takes_protection() -> None:
    policy = replace(POLICY, maximum=4)
    old = [worker("o1", DRAINING, active=1), worker("o2", DRAINING, active=1)]
    waits, drains = worker("n1", STARTING, order=ORDER_CONSUME), worker("n2", DRAINING, active=4)
    at_work = [worker(name, active=4) for name in ("n3", "n4", "n5")]
    # 6 are protected and 6 are desired, so n1 can get no protection. Recalling n2 gives the consuming worker that
    # n1 was to become.
    crowded = seen(*old, waits, drains, worker("n6", DRAINED), *at_work, queued=2, desired=6)
    assert (decided(crowded, policy).recall, decided(crowded, policy).desired) == (("n2",), 6)
    back = seen(*old, waits, replace(drains, order=ORDER_CONSUME), *at_work, queued=2, desired=6)
    assert (decided(back, policy).recall, decided(back, policy).drain) == ((), ("n1",))


def test_consuming_old_workers_do_not_replace_draining_new_ones() -> None:
    old, at_work = [worker("o1", active=1), worker("o2", active=1)], worker("n1", active=4)
    leaving = [worker("n2", DRAINED), worker("n3", DRAINING, active=4), worker("n4", DRAINED)]
    assert decided(seen(*old, at_work, *leaving, desired=6)).recall == ("n3", "n2")  # 10 / 4, rounded up: 3 are needed


def test_a_protected_draining_new_worker_is_not_recalled_if_enough_others_consume() -> None:
    decision = decided(
        seen(worker("o1", DRAINING, active=1), worker("n1"), worker("n2", DRAINING, active=1), desired=3)
    )
    assert (decision.recall, decision.drain) == ((), ())


def test_no_worker_is_recalled_while_it_is_unknown_which_ones_are_old() -> None:
    unknown = [worker("n1", active=4), worker("n2", DRAINED, deployment=None)]
    assert decided(seen(*unknown, queued=8, desired=2)).recall == ()


def test_new_workers_that_wait_for_a_newer_webserver_replace_no_old_one() -> None:
    waiting = [worker("n1", STARTING), worker("n2", STARTING)]
    assert decided(seen(worker("o1", active=4), worker("o2", active=4), *waiting, desired=2)).drain == ()


def test_superfluous_new_workers_drain_after_the_usual_scale_in_time() -> None:
    both = [worker("n1", active=1), worker("n2"), worker("o1", DRAINING, active=1)]
    assert decided(seen(*both, desired=3)).drain == ()
    assert decided(seen(*both, desired=3), memory=Memory(surplus_since=NOW - 30)).drain == ("n2",)


@pytest.mark.parametrize("obstacle", ["tasks away", "a task unknown", "malformed"])
def test_workers_that_cannot_be_told_apart_keep_their_size(obstacle: str) -> None:
    observation = seen(worker("o1"), worker("n1"), worker("n2", DRAINED), desired=5, running=3)
    if obstacle == "malformed":
        observation = seen(worker("o1"), worker("n1"), worker("n2", DRAINED), desired=5, running=3, malformed=("?",))
    else:
        unknown = worker("n1", deployment=None)
        why = Unreadable(source="tasks", why="throttled") if obstacle == "tasks away" else None
        observation = seen(worker("o1"), unknown, worker("n2", DRAINED), desired=5, running=3, tasks=why)
    decision = decided(observation)
    assert (decision.desired, decision.drain, decision.recall) == (5, (), ())
    assert "no scale-in" in decision.reason
    assert ("throttled" in decision.reason) == (obstacle == "tasks away")


@dataclass
class Task:
    arn: str
    deployment: str
    booting: int
    state: str = STARTING
    protected: bool = False
    order: str | None = None
    left: list[int] = field(default_factory=list)  # remaining seconds of each of its tasks


@dataclass
class World:
    """ECS as `local/fargate/reconcile.py` plays it, with its protection rule; agents that follow the protocol."""

    dice: Random
    policy: Policy
    desired: int = 0
    now: float = NOW
    queued: int = 0
    primary: int = 1
    tasks: list[Task] = field(default_factory=list)
    gone: list[tuple[float, Task]] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    started: int = 0
    longest_s: int = 40
    most_tasks: int = 0
    unmoved: tuple[ServiceView, tuple[TaskView, ...]] | None = None  # what ECS last saw without having to act

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            for move in self.dice.sample([self.agents, self.ecs, self.work], 3):
                move()
            if self.now % TICK_EVERY_S == 0:
                self.tick()
            self.most_tasks = max(self.most_tasks, len(self.tasks))

    def come_to_rest(self, *, within_s: int) -> None:
        """Pass time until nothing is left to do, and long enough that no part could still act."""
        deadline, quiet_s = self.now + within_s, 0
        while quiet_s < QUIET_S:
            assert self.now < deadline, "the rollout does not end"
            self.pass_time(1)
            quiet_s = quiet_s + 1 if self.is_at_rest else 0

    def work(self) -> None:
        for task in self.tasks:
            task.left = [left - 1 for left in task.left if left > 1]
            while task.state == CONSUMING and self.queued and len(task.left) < SLOTS:
                self.queued -= 1
                task.left.append(self.dice.randint(1, self.longest_s))

    def agents(self) -> None:
        for task in self.tasks:
            task.booting -= 1
            if task.booting > 0:
                continue
            if task.order != ORDER_DRAIN:
                if task.protected or sum(t.protected for t in self.tasks) < self.desired:  # else DEPLOYMENT_BLOCKED
                    task.protected, task.state = True, CONSUMING
            elif task.left:
                task.state = DRAINING
            elif task.state == DRAINING or task.state == STARTING:
                task.state, task.protected = DRAINED, False
            else:
                task.state = DRAINING if task.state == CONSUMING else task.state

    def ecs(self) -> None:
        view = ServiceView(name="worker", desired=self.desired, primary=str(self.primary))
        views = tuple(
            TaskView(arn=t.arn, deployment=t.deployment, running=t.booting <= 5, protected=t.protected)
            for t in self.tasks
        )
        if (view, views) == self.unmoved:
            return  # which tasks ECS chooses is random; whether it has to choose is not
        step = plan(view, views, self.dice)
        self.unmoved = None if step.start or step.stop else (view, views)
        for task in [task for task in self.tasks if task.arn in step.stop]:
            assert not task.left, f"a task of {task.arn} was killed"
            self.tasks.remove(task)
            self.gone.append((self.now, task))
        for _ in range(step.start):
            self.started += 1
            boot = self.dice.randint(20, 60)
            self.tasks.append(Task(arn=f"t{self.started:04}", deployment=str(self.primary), booting=boot))

    def tick(self) -> None:
        live = {task.deployment for task in self.tasks} | {str(self.primary)}
        deployments = tuple(
            Deployment(
                id=name,
                status="PRIMARY" if name == str(self.primary) else "ACTIVE",
                task_definition="worker:1",
                running=1,
            )
            for name in sorted(live, key=int, reverse=True)
        )
        running = sum(task.booting <= 5 for task in self.tasks)
        service = Service(
            desired=self.desired, running=running, pending=len(self.tasks) - running, deployments=deployments
        )
        here = [self.reported(task) for task in self.tasks if task.booting <= 0]
        dead = [replace(self.reported(t), silent_s=self.now - at) for at, t in self.gone if self.now - at < 12]
        fleet = Fleet(workers=(*here, *dead))
        observation = Observation(now=self.now, queued={"default": self.queued}, fleet=fleet, service=service)
        decision = decide(observation, self.policy, self.memory)
        orders = dict.fromkeys(decision.drain, ORDER_DRAIN) | dict.fromkeys(decision.recall, ORDER_CONSUME)
        for task in self.tasks:
            task.order = orders.get(task.arn, task.order)
        assert decision.desired is not None
        self.desired, self.memory = decision.desired, decision.memory
        assert sum(task.protected for task in self.tasks) <= self.desired, "protection would not be renewed"

    def reported(self, task: Task) -> Worker:
        return Worker(
            id=task.arn,
            state=task.state,
            active=len(task.left),
            slots=SLOTS,
            protected=task.protected,
            order=task.order,
            started_at=NOW,
            deployment=task.deployment,
        )

    @property
    def consuming(self) -> int:
        return sum(task.state == CONSUMING for task in self.tasks)

    @property
    def is_rolling_out(self) -> bool:
        return any(task.deployment != str(self.primary) for task in self.tasks)

    @property
    def is_at_rest(self) -> bool:
        idle = not self.queued and not any(task.left for task in self.tasks)
        counts = {self.desired, len(self.tasks), self.consuming}
        return idle and not self.is_rolling_out and counts == {self.policy.minimum}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), minimum=st.integers(0, 2), burst=st.integers(0, 60), again=st.integers(0, 120))
def test_a_rollout_in_mid_burst_ends_by_itself_and_kills_nothing(
    seed: int, minimum: int, burst: int, again: int
) -> None:
    world = World(dice=Random(seed), policy=replace(POLICY, minimum=minimum, maximum=6), desired=minimum)
    world.queued = burst
    world.pass_time(world.dice.randint(60, 200))
    world.primary += 1
    world.pass_time(again)
    world.primary += world.dice.randint(0, 1)  # in some cases, a second deployment in the middle of the first
    world.queued += world.dice.choice([0, 0, 20])
    world.come_to_rest(within_s=600)
    assert world.most_tasks <= 24  # twice the maximum of 6 while old workers stay, at most doubled by ECS


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), workers=st.integers(1, 6))
def test_capacity_never_falls_below_what_is_needed_while_a_rollout_replaces_all(seed: int, workers: int) -> None:
    world = World(dice=Random(seed), policy=replace(POLICY, minimum=workers, maximum=8), desired=workers)
    world.pass_time(120)
    assert world.consuming == workers
    world.primary += 1
    least, seconds = workers, 0
    while world.is_rolling_out or world.desired > workers:
        if seconds % 7 == 0:
            world.queued += workers
        world.pass_time(1)
        least, seconds = min(least, world.consuming), seconds + 1
        assert seconds < 600, "the rollout does not end"
    assert least >= workers


ENDLESS_S = 10**12
ORDERS_OF = {
    STARTING: (None, ORDER_CONSUME, ORDER_DRAIN),
    CONSUMING: (None, ORDER_CONSUME),
    DRAINING: (ORDER_CONSUME, ORDER_DRAIN),
    DRAINED: (ORDER_CONSUME, ORDER_DRAIN),
}


@st.composite
def rollouts_with_endless_tasks(draw: st.DrawFn) -> World:
    """Draw workers of two deployments in any state, at least one of them old; a boot takes up to a minute."""
    others = st.tuples(st.sampled_from("12"), st.sampled_from(sorted(ORDERS_OF)))
    kinds = [("1", DRAINING), *draw(st.lists(others, max_size=12))]
    world = World(dice=Random(draw(st.integers(0, 2**32))), policy=replace(POLICY, maximum=4), primary=2)
    world.queued, world.longest_s = draw(st.integers(0, 30)), ENDLESS_S
    for deployment, state in kinds:
        world.started += 1
        task = Task(arn=f"t{world.started:04}", deployment=deployment, booting=0, state=state)
        task.protected = state in (CONSUMING, DRAINING)
        task.order = draw(st.sampled_from(ORDERS_OF[state]))
        if state == STARTING:
            task.booting = draw(st.integers(0, 60))
        if task.protected:
            task.left = [ENDLESS_S] * draw(st.integers(1, SLOTS))
        world.tasks.append(task)
    world.desired = sum(task.protected for task in world.tasks) + draw(st.integers(0, 4))
    return world


@settings(max_examples=100, deadline=None)
@given(world=rollouts_with_endless_tasks())
def test_as_many_new_workers_consume_as_are_needed_even_if_no_task_ends(world: World) -> None:
    needed = workers_needed(world.queued + sum(len(task.left) for task in world.tasks), world.policy)
    old = sum(task.deployment == "1" for task in world.tasks)
    most = max(world.desired, old + needed)
    for _ in range(240):
        world.pass_time(1)
        assert world.desired <= most  # whatever the new workers that a raise started do
    consuming = [task.deployment for task in world.tasks if task.state == CONSUMING]
    assert consuming == ["2"] * needed


def test_old_workers_with_long_tasks_delay_neither_the_new_ones_nor_the_end_of_the_rollout() -> None:
    world = World(dice=Random(1), policy=replace(POLICY, minimum=2), desired=2)
    world.longest_s, world.queued = 2000, 8
    world.pass_time(120)
    world.primary += 1
    world.pass_time(300)
    old = [task for task in world.tasks if task.deployment == "1"]
    assert old
    assert all(task.state == DRAINING for task in old)
    assert world.consuming >= 2
    world.pass_time(3000)
    assert not world.is_rolling_out
