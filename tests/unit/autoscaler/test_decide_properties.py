"""Properties of every decision, and of decisions that follow one another."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.boots import Boots, Launch
from autoscaler.decide import Decision, decide
from autoscaler.desired import STOPPING_HOLDS_S
from autoscaler.estimates import Pace
from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Fleet, Observation, Service, Unreadable, Worker
from autoscaler.policy import Policy
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING, STATES, STOPPED
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN

NOW = 1_000_000.0
CONCURRENCY = 4

names = st.sampled_from([f"w{n:02}" for n in range(12)])


@st.composite
def workers(draw: st.DrawFn) -> tuple[Worker, ...]:
    """Draw up to twelve workers in any mixture of states, sensible or not."""
    return tuple(
        Worker(
            id=name,
            state=draw(st.sampled_from(sorted(STATES))),
            active=draw(st.integers(0, CONCURRENCY)),
            slots=CONCURRENCY,
            protected=draw(st.booleans()),
            order=draw(st.sampled_from([None, ORDER_CONSUME, ORDER_DRAIN])),
            started_at=NOW - 600,
            deployment=draw(st.sampled_from(["ecs-svc/0", "ecs-svc/1"])),
        )
        for name in draw(st.lists(names, unique=True))
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    counts = st.integers(0, 20)
    deployments = tuple(
        Deployment(id=f"ecs-svc/{n}", status="ACTIVE" if n else "PRIMARY", task_definition="worker:1", running=1)
        for n in range(draw(st.integers(1, 2)))
    )
    service = Service(desired=draw(counts), running=draw(counts), pending=draw(counts), deployments=deployments)
    return Observation(
        now=NOW,
        queued={"default": draw(st.integers(0, 100))},
        fleet=Fleet(workers=draw(workers()), malformed=draw(st.sampled_from([(), ("?",)]))),
        service=service,
    )


policies = st.builds(
    lambda minimum, more, raced: Policy(
        minimum=minimum, maximum=minimum + more, concurrency=CONCURRENCY, boots_per_task=raced
    ),
    st.integers(0, 3),
    st.integers(0, 10) | st.just(100),
    st.sampled_from([0.0, 0.65]),
)
memories = st.builds(
    Memory,
    surplus_since=st.none() | st.floats(NOW - 120, NOW + 120),
    stopping=st.dictionaries(names, st.floats(NOW - 2 * STOPPING_HOLDS_S, NOW)),
    boots=st.builds(
        Boots,
        launches=st.lists(st.builds(Launch, at=st.floats(NOW - 120, NOW + 120), tasks=st.integers(1, 9))).map(tuple),
        took_s=st.lists(st.floats(0, 600), max_size=9).map(tuple),
    ),
    pace=st.builds(
        Pace,
        worked_s=st.floats(0, 1e6),
        ends=st.floats(0, 200),
        at=st.floats(NOW - 600, NOW + 120),
        demand=st.integers(0, 50),
        active=st.integers(0, 50),
    ),
)


def parts(observation: Observation) -> tuple[Fleet, Service]:
    assert isinstance(observation.fleet, Fleet)
    assert isinstance(observation.service, Service)
    return observation.fleet, observation.service


def holds_work(worker: Worker) -> bool:
    """May hold protection now or soon: all but the stopped and the drained."""
    return worker.state != STOPPED and not (
        worker.state == DRAINED and not worker.protected and worker.order == ORDER_DRAIN
    )


@given(observations(), policies, memories)
def test_desired_stays_within_the_limits_unless_more_are_there_already(
    observation: Observation, policy: Policy, memory: Memory
) -> None:
    fleet, service = parts(observation)
    desired = decide(observation, policy, memory).desired
    assert desired is not None
    assert policy.minimum <= desired
    more = policy.maximum if service.is_rolling_out else 0  # new workers beside the old ones
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
    """Decide twice, as a duplicate invocation does: it observes the same, with the memory of the first one."""
    first = decide(observation, policy, memory)
    assert first.desired is not None
    again = decide(observation, policy, first.memory)
    assert again.desired is not None
    # Workers that the first decision stops are not counted again; the desired count does not exceed its old value.
    assert first.desired <= again.desired <= max(first.desired, parts(observation)[1].desired)
    assert again.recall == first.recall


@dataclass
class Task:
    """A worker in the model, whose agent follows the protocol."""

    id: str
    state: str = STARTING
    active: int = 0
    protected: bool = False
    order: str | None = None


@dataclass
class World:
    """Late ECS that stops arbitrary tasks, agents that obey late, and a registry that still lists dead workers."""

    dice: Random
    policy: Policy
    desired: int
    now: float = NOW
    queued: int = 0
    tasks: list[Task] = field(default_factory=list)
    ghosts: list[tuple[float, Worker]] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    launched: int = 0
    asleep: bool = False

    def step(self) -> None:
        """Advance by 15 s: each part acts or lags, in random order."""
        moves = [self.agents, self.ecs, self.tick, self.work]
        self.dice.shuffle(moves)
        for move in moves:
            if self.dice.random() < 0.7:
                move()
            self.check()
        self.now += 15

    def check(self) -> None:
        assert all(task.protected for task in self.tasks if task.active), "ECS may stop a worker with a task"

    def work(self) -> None:
        for task in self.tasks:
            task.active -= self.dice.randint(0, task.active)
            if task.state == CONSUMING:
                taken = min(self.queued, CONCURRENCY - task.active)
                task.active, self.queued = task.active + taken, self.queued - taken

    def agents(self) -> None:
        for task in self.tasks:
            wants_work = task.order != ORDER_DRAIN
            if wants_work and (task.protected or sum(t.protected for t in self.tasks) < self.desired):
                task.protected, task.state = True, CONSUMING
            elif not wants_work and task.state == CONSUMING:
                task.state = DRAINING
            elif not wants_work and task.active == 0:
                task.protected, task.state = False, DRAINED

    def ecs(self) -> None:
        while len(self.tasks) < self.desired:
            self.launched += 1
            self.tasks.append(Task(id=f"t{self.launched:04}"))
        stoppable = [task for task in self.tasks if not task.protected]
        self.dice.shuffle(stoppable)
        for task in stoppable[: max(0, len(self.tasks) - self.desired)]:
            assert task.active == 0, "a task was killed"
            self.tasks.remove(task)
            self.ghosts.append((self.now, self.reported(task)))

    def tick(self) -> None:
        # The newest workers may not have reported yet; those that ECS stopped stay in the registry for 30 s.
        shown = [self.reported(task) for task in self.tasks if task.state != STARTING or self.dice.random() < 0.5]
        dead = [replace(ghost, silent_s=self.now - died) for died, ghost in self.ghosts if self.now - died < 30]
        service = Service(
            desired=self.desired,
            running=len(self.tasks),
            pending=0,
            deployments=(Deployment(id="1", status="PRIMARY", task_definition="worker:1", running=1),),
            asleep=self.asleep,
        )
        fleet = Fleet(workers=(*shown, *dead))
        observation = Observation(now=self.now, queued={"default": self.queued}, fleet=fleet, service=service)
        if self.dice.random() < 0.5:
            self.agents()  # between observing and acting
        decision = decide(observation, self.policy, self.memory)
        orders = dict.fromkeys(decision.drain, ORDER_DRAIN) | dict.fromkeys(decision.recall, ORDER_CONSUME)
        for task in self.tasks:
            task.order = orders.get(task.id, task.order)
        assert decision.desired is not None
        self.desired, self.memory = decision.desired, decision.memory
        assert sum(worker.protected for worker in shown) <= self.desired, "ECS would refuse to renew protection"

    def reported(self, task: Task) -> Worker:
        return Worker(
            id=task.id,
            state=task.state,
            active=task.active,
            slots=CONCURRENCY,
            protected=task.protected,
            order=task.order,
            started_at=0.0,
        )

    def settle(self, *, ticks: int) -> None:
        """Let every part act in time; the demand stays as it is."""
        for _ in range(ticks):
            self.agents()
            self.ecs()
            self.tick()
            self.check()
            self.now += 15


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
