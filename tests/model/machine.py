"""Lets hypothesis play the model's world: single moves, stretches of play in a theme, quiet times, and the end."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from random import Random
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from autoscaler.policy import workers_needed
from autoscaler.revision import MOST_REPEATS
from fleet.member import CONSUMING, DRAINED
from fleet.registry import ORDER_DRAIN, order_key
from tests.model.messages import Stage
from tests.model.moves import EVERY_ACCIDENT, EVERY_MOVE, MOST_QUEUED, THEMES, Moves
from tests.model.production import production
from tests.model.scaler import MAXIMUM, Violation
from tests.model.seams import Fault
from tests.model.webserver import OLDER_RELEASE
from tests.model.worker import QUEUE, WORKERS_RELEASE, Process
from tests.model.world import World

PERIOD_S = 2.5  # more than CONFIRM_IDLE_S, so that two passes of the event loop confirm idleness
# Scale-in waits 30 s, a stopping worker is remembered for 60 s, a dead one shown for 30 s, a tick comes each 15 s.
SETTLE_PERIODS = 100
RETIREMENT_PERIODS = 100  # AWS gives a week
MOVED_PERIODS = 28  # some ticks, and a boot
ROLLOUT_PERIODS = 90  # the patience of 120 s, ticks before and after, and the memory of an accident
LONG_S, LONG_STEP_S = 32 * 60, 20  # more than a lease; no longer than a thread may sleep

which = st.integers(0, 2 * MAXIMUM)
seeds = st.integers(0, 2**32)
themes = st.sampled_from(sorted(THEMES))


class ProtocolMachine(RuleBasedStateMachine):
    """`steps` and `moves` count what was executed, over all examples; a stretch of play is one step."""

    steps: ClassVar[int] = 0
    moves: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.world: World
        self.deploys = self.settles = False

    @initialize(
        minimum=st.integers(0, 2),
        queued=st.integers(0, MOST_QUEUED),
        periods=st.integers(2, 20),
        story=st.integers(0, 7),
    )
    def begin(self, minimum: int, queued: int, periods: int, story: int) -> None:
        """Choose the rules of this run: some have deployments, some end in a settled state, which takes long."""
        self.world = World(minimum=minimum)
        self.play = Moves(self.world)
        self._stack.enter_context(production(self.world.now))
        self.deploys, self.settles = story % 2 == 1, story in (1, 2, 3)
        self.world.store.queues[QUEUE] = queued
        for _ in range(periods):
            self.world.orderly(PERIOD_S, work=False)

    @invariant()
    def no_task_is_where_ecs_may_stop_it(self) -> None:
        type(self).steps += 1
        self.world.check()

    @rule(name=st.sampled_from(EVERY_MOVE), which=which, seed=seeds)
    def a_move(self, name: str, which: int, seed: int) -> None:
        self._make(name, which, seed)

    @rule(name=st.sampled_from(EVERY_ACCIDENT), which=which, seed=seeds, rarely=st.integers(0, 2))
    def an_accident(self, name: str, which: int, seed: int, rarely: int) -> None:
        if not rarely:
            self._make(name, which, seed)

    @rule(theme=themes, which=which, seed=seeds, count=st.integers(1, 10))
    def a_few_moves(self, theme: str, which: int, seed: int, count: int) -> None:
        self._play(theme, which, seed, count)

    @rule(theme=themes, which=which, seed=seeds, count=st.integers(10, 60))
    def many_moves(self, theme: str, which: int, seed: int, count: int) -> None:
        self._play(theme, which, seed, count)

    @rule(
        theme=themes,
        which=which,
        seed=seeds,
        count=st.integers(5, 40),
        slow=st.sampled_from(["nothing", "replies", "acks"]),
    )
    def a_busy_worker_is_drained(self, theme: str, which: int, seed: int, count: int, slow: str) -> None:
        """Interleave moves while the worker still has messages and the broker may be slow."""
        if process := self._drain(which):
            process.slow_replies, process.slow_acks = slow == "replies", slow == "acks"
            self._play(theme, which, seed, count)

    @rule(theme=st.sampled_from(["flips", "lost answers"]), which=which, seed=seeds, count=st.integers(5, 30))
    def an_idle_worker_is_drained(self, theme: str, which: int, seed: int, count: int) -> None:
        """Interleave moves from the moment at which the worker may drop its protection."""
        if process := self._drain(which):
            process.agent_tick()
            for _ in range(4):
                process.read_poll(requeue=True)
                while process.messages and process.messages[0].stage is not Stage.POPPED:
                    process.move(process.messages[0].stage)
                process.tick()
                self.world.advance(1.0)
            process.tick()
            self.world.store.queues[QUEUE] += 2
            self._play(theme, which, seed, count)

    @rule(which=which, seed=seeds, count=st.integers(5, 30))
    def workers_are_too_many(self, which: int, seed: int, count: int) -> None:
        """Interleave moves around the moment at which the desired count is lowered."""
        self.world.heal()
        self.world.store.queues[QUEUE] = 0
        for _ in range(30):
            self.world.orderly(PERIOD_S, work=True)
            if any(process.agent._state == DRAINED for process in self.world.alive):
                break
        self._play("scaling", which, seed, count)

    @rule(periods=st.integers(1, 12), work=st.booleans(), heal=st.booleans())
    def all_is_well_for_a_while(self, periods: int, work: bool, heal: bool) -> None:
        if heal:
            self.world.heal()
        if self.world.store.up:
            for _ in range(periods):
                self.world.orderly(PERIOD_S, work=work)

    @rule(which=which, seed=seeds, count=st.integers(5, 40), periods=st.integers(0, 16), work=st.booleans())
    def a_deployment_rolls(self, which: int, seed: int, count: int, periods: int, work: bool) -> None:
        """Interleave moves somewhere between its begin and its end."""
        if not self.deploys:
            return
        self.world.heal()
        if not self.world.ecs.is_rolling_out:
            self.world.ecs.deploy()
        for _ in range(periods):
            self.world.orderly(PERIOD_S, work=work)
        self._play("scaling", which, seed, count)

    @rule(
        which=which,
        seed=seeds,
        count=st.integers(5, 40),
        periods=st.integers(0, 60),
        two=st.booleans(),
        names_the_family=st.booleans(),
    )
    def a_broken_version_is_deployed(
        self, which: int, seed: int, count: int, periods: int, two: bool, names_the_family: bool
    ) -> None:
        """Deploy a version whose workers do not come up, and perhaps another one meanwhile; both are given up.

        Then CloudFormation rolls back, and perhaps changes the service while it does. A version that works follows.
        """
        if not self.deploys:
            return
        world, ecs = self.world, self.world.ecs
        self._reach_a_revision()
        good = ecs.target
        for _ in range(1 + two):
            ecs.deploy(is_broken=True)
            for _ in range(periods):
                world.orderly(PERIOD_S, work=False)
            self._play("rollout", which, seed, count)
        self._go_on(ROLLOUT_PERIODS)
        _expect(ecs.revision == good, f"the service has {ecs.revision}, and {good} worked")
        ecs.moves.clear()
        self._go_on(ROLLOUT_PERIODS)
        _expect(not ecs.moves, f"the autoscaler asks again for {ecs.moves}")
        ecs.roll_back(good)
        if names_the_family:
            self._go_on(ROLLOUT_PERIODS)  # until no earlier invocation can have been the reason
            ecs.name_the_family()
        self._expect_the_stacks_revision()
        ecs.deploy()
        self._expect_the_stacks_revision()

    @rule(which=which, seed=seeds, count=st.integers(5, 40), repeats=st.integers(1, MOST_REPEATS))
    def ecs_sets_a_version_back(self, which: int, seed: int, count: int, repeats: int) -> None:
        """Let ECS's circuit breaker go back from a version that worked, some times; each time it is moved again."""
        if not self.deploys:
            return
        world, ecs = self.world, self.world.ecs
        self._reach_a_revision()
        earlier = ecs.target
        ecs.deploy()
        self._expect_the_stacks_revision()
        for _ in range(repeats):
            self._go_on(ROLLOUT_PERIODS)  # until no earlier invocation can have been the reason
            if not world.scaler.has_done_rollout:
                return
            ecs.set_back(earlier)
            world.scaler.tick()  # ECS shows the failed deployment for longer than that; here workers boot at once
            self._go_on(MOVED_PERIODS)
            self._play("rollout", which, seed, count)
            self._expect_the_stacks_revision()

    def _reach_a_revision(self) -> None:
        """Let the service have the stack's revision: another one where that was given up."""
        if self.world.ecs.revision != self.world.ecs.target:
            self.world.ecs.deploy()
        self._expect_the_stacks_revision()

    def _expect_the_stacks_revision(self) -> None:
        """In order, the service has the stack's revision, whose workers work."""
        ecs = self.world.ecs
        self._go_on(MOVED_PERIODS)
        _expect(ecs.revision == ecs.target, f"the service has {ecs.revision}, and the stack {ecs.target}")

    def _go_on(self, periods: int) -> None:
        """Run in order, with work that needs a worker."""
        self.world.heal()
        for _ in range(periods):
            self.world.store.queues[QUEUE] = max(1, self.world.store.queues[QUEUE])
            self.world.orderly(PERIOD_S, work=True)

    @rule(which=which, seed=seeds, count=st.integers(5, 40), periods=st.integers(0, 16), work=st.booleans())
    def the_pool_sleeps(self, which: int, seed: int, count: int, periods: int, work: bool) -> None:
        """Interleave moves between the order to sleep and the moment at which no worker is left."""
        self.world.heal()
        self.world.ecs.put_to_sleep()
        for _ in range(periods):
            self.world.orderly(PERIOD_S, work=work)
        self._play("scaling", which, seed, count)
        self.world.ecs.wake()

    @rule(which=which, seed=seeds, count=st.integers(5, 40), periods=st.integers(0, 16), work=st.booleans())
    def aws_retires_its_tasks(self, which: int, seed: int, count: int, periods: int, work: bool) -> None:
        """Interleave moves between the notice and the stop, whatever is protected; no worker may then have work."""
        self.world.heal()
        self.world.ecs.announce_retirement()
        for _ in range(periods):
            self.world.store.queues[QUEUE] = max(1, self.world.store.queues[QUEUE])  # the capacity is needed
            self.world.orderly(PERIOD_S, work=work)
        self._play("scaling", which, seed, count)
        self.world.heal()
        for _ in range(RETIREMENT_PERIODS):
            self.world.store.queues[QUEUE] = max(1, self.world.store.queues[QUEUE])
            self.world.orderly(PERIOD_S, work=True)
        self.world.retire()

    @rule(queued=st.integers(1, 4), rarely=st.integers(0, 3))
    def memory_is_short(self, queued: int, rarely: int) -> None:
        """Let present workers take one task each: what they leave in the queue gets other workers."""
        world = self.world
        if rarely:
            return
        world.heal()
        for process in world.alive:
            process.fitting = 1
        world.store.queues[QUEUE] += queued
        for _ in range(SETTLE_PERIODS):
            world.orderly(PERIOD_S, work=False)
        waiting, (consuming, dead) = world.store.queues[QUEUE], self._count_workers()
        _expect(not waiting or consuming + dead >= MAXIMUM, f"{waiting} wait beside {consuming} workers")

    @rule(release=st.sampled_from([OLDER_RELEASE, WORKERS_RELEASE]), periods=st.integers(1, 40))
    def the_webserver_is_replaced(self, release: str, periods: int) -> None:
        """Run for a while with another version of Airflow, in which workers start and the queue is never empty."""
        self.world.heal()
        self.world.webserver.runs(release)
        for _ in range(periods):
            self.world.store.queues[QUEUE] += 1
            self.world.orderly(PERIOD_S, work=True)

    @rule(fault=st.sampled_from([Fault.NONE, Fault.FAILS, Fault.LOST]), rarely=st.integers(0, 3))
    def long_minutes_pass(self, fault: Fault, rarely: int) -> None:
        """Let a lease be renewed several times, or run out."""
        if rarely:
            return
        self.world.ecs.endpoint = fault
        self.world.webserver.runs(WORKERS_RELEASE)
        for _ in range(LONG_S // LONG_STEP_S):
            self.world.advance(LONG_STEP_S)
            self.world.store.queues[QUEUE] = max(1, self.world.store.queues[QUEUE])
            for process in self.world.alive:
                process.read_poll(requeue=True)
                for message in tuple(process.messages):
                    process.move(message.stage)
                process.tick()
                process.agent_tick()
                process.send_poll()
                process.pop()
            self.world.check()
        self.world.ecs.endpoint = Fault.NONE

    def _drain(self, which: int) -> Process | None:
        """Order the worker to drain just when a message comes; return it."""
        self.world.heal()
        self.world.orderly(PERIOD_S, work=True)
        self.world.store.queues[QUEUE] += 2
        if not self.world.alive:
            return None
        process = self.world.alive[which % len(self.world.alive)]
        process.send_poll()
        process.pop()
        self.world.store.set(order_key(process.identity.member_id), ORDER_DRAIN)
        return process

    def _play(self, theme: str, which: int, seed: int, count: int) -> None:
        type(self).moves += count
        names, weights = tuple(THEMES[theme]), tuple(THEMES[theme].values())
        self.play.play(names, weights, count=count, which=which, dice=Random(seed))

    def _make(self, name: str, which: int, seed: int) -> None:
        type(self).moves += 1
        self.play.make(name, which=which, dice=Random(seed))

    def teardown(self) -> None:
        try:
            if sys.exception() is None and self.settles:  # otherwise a step has failed already
                self._settle()
        finally:
            if hasattr(self, "world"):
                self.world.close()
            self._stack.close()

    def _settle(self) -> None:
        """With the accidents over, the fleet becomes what is needed; and the smallest, when nothing is.

        Fewer consume than all tasks need when those that drain hold some of them.
        """
        world = self.world
        world.heal()
        for _ in range(SETTLE_PERIODS):
            world.orderly(PERIOD_S, work=False)
        queued, held = world.store.queues[QUEUE], sum(len(process.messages) for process in world.alive)
        needed = workers_needed(queued + held, world.scaler.policy)
        consuming, dead = self._count_workers()
        _expect(world.minimum <= consuming + dead, f"{consuming} consume beside {dead} dead workers")
        _expect(consuming <= needed, f"{consuming} consume, {needed} are needed")
        _expect(not queued or consuming + dead >= MAXIMUM, f"{queued} wait beside {consuming} workers")
        for _ in range(SETTLE_PERIODS):
            world.orderly(PERIOD_S, work=True)
        left = sum(len(process.messages) for process in world.alive)
        _expect(world.store.queues[QUEUE] == left == 0, "tasks are left")
        sizes = (world.ecs.service.desired_count, len(world.ecs.tasks), world.ecs.protected)
        _expect(sizes == (world.minimum,) * 3, f"desired, tasks and protected are {sizes}, not {world.minimum}")

    def _count_workers(self) -> tuple[int, int]:
        """Count the workers that consume, and the dead ones, which may have tasks that do not end yet."""
        alive = self.world.alive
        consuming = sum(p.agent._state == CONSUMING and p.dead_since is None for p in alive)
        return consuming, sum(p.dead_since is not None for p in alive)


def _only(*rules: str, name: str) -> type[ProtocolMachine]:
    """Return the machine with a few of its rules. Hypothesis ignores a rule that a subclass overwrites."""
    others = {rule: None for rule in EVERY_RULE if rule not in rules}
    return type(name, (ProtocolMachine,), others)


EVERY_RULE = (
    "a_move",
    "an_accident",
    "a_few_moves",
    "many_moves",
    "a_busy_worker_is_drained",
    "an_idle_worker_is_drained",
    "workers_are_too_many",
    "all_is_well_for_a_while",
    "a_deployment_rolls",
    "a_broken_version_is_deployed",
    "ecs_sets_a_version_back",
    "the_pool_sleeps",
    "aws_retires_its_tasks",
    "the_webserver_is_replaced",
    "long_minutes_pass",
    "memory_is_short",
)
# Around the end of a worker's protection; in hours of work; around a lower desired count; around a webserver's
# release; between AWS's notice and its stop; in sleep; around a deployment that fails; around a broker that a worker
# cannot reach; with little memory.
DrainingMachine = _only(
    "a_busy_worker_is_drained", "an_idle_worker_is_drained", "all_is_well_for_a_while", name="DrainingMachine"
)
LeaseMachine = _only("a_move", "a_few_moves", "all_is_well_for_a_while", "long_minutes_pass", name="LeaseMachine")
ScalingMachine = _only(
    "a_move", "a_few_moves", "many_moves", "workers_are_too_many", "all_is_well_for_a_while", name="ScalingMachine"
)
GatesMachine = _only("a_few_moves", "all_is_well_for_a_while", "the_webserver_is_replaced", name="GatesMachine")
RetirementMachine = _only("a_few_moves", "all_is_well_for_a_while", "aws_retires_its_tasks", name="RetirementMachine")
RolloutMachine = _only(
    "a_few_moves",
    "all_is_well_for_a_while",
    "a_broken_version_is_deployed",
    "ecs_sets_a_version_back",
    name="RolloutMachine",
)
SleepMachine = _only("a_few_moves", "all_is_well_for_a_while", "the_pool_sleeps", name="SleepMachine")
MemoryMachine = _only("a_few_moves", "all_is_well_for_a_while", "memory_is_short", name="MemoryMachine")


class BrokerMachine(_only("a_few_moves", "all_is_well_for_a_while", name="Quiet")):  # type: ignore[misc]
    """Breaks what lies between workers and the broker, beside moves of work and scaling."""

    @rule(
        which=which,
        harm=st.sampled_from(["role", "connection", "loop"]),
        queued=st.integers(0, 3),
        periods=st.integers(1, 40),
        work=st.booleans(),
    )
    def the_broker_leaves_a_worker(self, which: int, harm: str, queued: int, periods: int, work: bool) -> None:
        """Change Redis's role and back, or break a worker's connection or event loop; run in order for a while."""
        self.world.heal()
        self.world.store.queues[QUEUE] += queued
        self.world.orderly(PERIOD_S, work=work)
        process = self.world.alive[which % len(self.world.alive)] if self.world.alive else None
        if harm == "role":
            self.world.change_role()
        elif process is not None:
            (process.hang if harm == "connection" else process.die)()
        for _ in range(periods):
            self.world.orderly(PERIOD_S, work=work)
        self.world.heal()


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)
