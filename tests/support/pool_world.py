"""A pool in which the autoscaler, ECS and the workers act in any order, each of them late."""

from dataclasses import dataclass, field, replace
from random import Random

from autoscaler.decide import decide
from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Fleet, Observation, Service, Worker
from autoscaler.policy import Policy
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN
from tests.support.any_pool import CONCURRENCY, NOW


@dataclass
class Task:
    """A worker in the model, whose agent follows the protocol."""

    id: str
    state: str = STARTING
    active: int = 0
    protected: bool = False
    order: str | None = None
    started_at: float = 0.0


@dataclass
class World:
    """Late ECS that stops arbitrary tasks, agents that obey late, and a registry that still lists dead workers."""

    dice: Random
    policy: Policy
    desired: int
    now: float = NOW
    queued: int = 0
    tasks: list[Task] = field(default_factory=list)
    stopped: list[tuple[float, Worker]] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    launched: int = 0
    asleep: bool = False
    retire_before: float | None = None

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
            self.tasks.append(Task(id=f"t{self.launched:04}", started_at=self.now))
        stoppable = [task for task in self.tasks if not task.protected]
        self.dice.shuffle(stoppable)
        for task in stoppable[: max(0, len(self.tasks) - self.desired)]:
            assert task.active == 0, "a task was killed"
            self.tasks.remove(task)
            self.stopped.append((self.now, self.reported(task)))

    def tick(self) -> None:
        # The newest workers may not have reported yet; those that ECS stopped stay in the registry for 30 s.
        shown = [self.reported(task) for task in self.tasks if task.state != STARTING or self.dice.random() < 0.5]
        dead = [replace(worker, silent_s=self.now - at) for at, worker in self.stopped if self.now - at < 30]
        service = Service(
            desired=self.desired,
            running=len(self.tasks),
            pending=0,
            deployments=(Deployment(id="1", status="PRIMARY", task_definition="worker:1", running=1),),
            asleep=self.asleep,
            retire_before=self.retire_before,
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
            started_at=task.started_at,
        )

    def settle(self, *, ticks: int) -> None:
        """Let every part act in time; the demand stays as it is."""
        for _ in range(ticks):
            self.agents()
            self.ecs()
            self.tick()
            self.check()
            self.now += 15
