"""What may happen in the model's world, in any order: hypothesis chooses, and the world says whether it may be so."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from random import Random
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from autoscaler.decide import workers_needed
from fleet.registry import CONSUMING, ORDER_CONSUME, ORDER_DRAIN, order_key
from tests.model.seams import Actor, Fault
from tests.model.worker import QUEUE, Process, Stage, production
from tests.model.world import MAXIMUM, Violation, World

PERIOD_S = 2.5  # more than CONFIRM_IDLE_S, so that two looks of the event loop confirm idleness
# Scale-in waits 30 s, a released worker is remembered for 60 s, a dead one shown for 30 s, a look comes each 15 s.
SETTLE_PERIODS = 100
MOST_QUEUED = 12
LONG_S, LONG_STEP_S = 32 * 60, 20  # more than a lease; no longer than a thread may sleep

which = st.integers(0, 2 * MAXIMUM)
seeds = st.integers(0, 2**16)
faults = st.sampled_from([Fault.NONE, Fault.NONE, Fault.NONE, Fault.FAILS, Fault.LOST, Fault.LATE])
orders = st.sampled_from([ORDER_CONSUME, ORDER_DRAIN])


class ProtocolMachine(RuleBasedStateMachine):
    """`steps` counts what was executed, over all examples."""

    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.world: World
        self.deploys = self.settles = False

    @initialize(
        minimum=st.integers(0, 2),
        queued=st.integers(0, MOST_QUEUED),
        periods=st.integers(0, 20),
        story=st.integers(0, 7),
    )
    def begin(self, minimum: int, queued: int, periods: int, story: int) -> None:
        """Some stories have deployments in them, some a settled end, as both take long."""
        self.world = World(minimum=minimum)
        self._stack.enter_context(production(self.world.now))
        self.deploys, self.settles = story in (0, 1), story in (1, 2, 3)
        self.world.store.queues[QUEUE] = queued
        for _ in range(periods):
            self.world.orderly(PERIOD_S, work=False)

    @invariant()
    def no_task_is_where_ecs_may_stop_it(self) -> None:
        type(self).steps += 1
        self.world.check()

    def one(self, which: int) -> Process | None:
        alive = self.world.alive
        return alive[which % len(alive)] if alive else None

    # --- the ordinary course of things

    @rule(queued=st.integers(1, 6))
    def tasks_arrive(self, queued: int) -> None:
        queues = self.world.store.queues
        queues[QUEUE] = min(MOST_QUEUED, queues[QUEUE] + queued)

    @rule(periods=st.integers(1, 16), work=st.booleans())
    def all_is_well_for_a_while(self, periods: int, work: bool) -> None:
        if self.world.store.up:
            for _ in range(periods):
                self.world.orderly(PERIOD_S, work=work)

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0, 2.0, 2.5, 5.0, 15.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(seed=seeds, seconds=st.sampled_from([0.25, 0.5, 1.0, 2.5]), rounds=st.integers(1, 6))
    def everybody_acts_or_lags(self, seed: int, seconds: float, rounds: int) -> None:
        dice = Random(seed)
        for _ in range(rounds):
            self.world.advance(seconds)
            for process in dice.sample(self.world.alive, len(self.world.alive)):
                self._act(process, dice)
                self.world.check()

    @rule(which=which, seed=seeds)
    def a_worker_acts(self, which: int, seed: int) -> None:
        if process := self.one(which):
            self._act(process, Random(seed))

    @rule(which=which)
    def a_worker_takes_a_message(self, which: int) -> None:
        if process := self.one(which):
            process.send_poll()
            process.pop()

    @rule(which=which, requeue=st.booleans())
    def a_worker_reads_its_message(self, which: int, requeue: bool) -> None:
        if process := self.one(which):
            process.read_poll(requeue=requeue)

    @rule(which=which, stage=st.sampled_from([Stage.HIDDEN, Stage.RESERVED, Stage.ACTIVE, Stage.UNACKED]))
    def a_message_moves_on(self, which: int, stage: Stage) -> None:
        if process := self.one(which):
            process.move(stage)

    def _act(self, process: Process, dice: Random) -> None:
        """Some of what a worker does, in any order."""
        moves = [
            process.connect,
            process.tick,
            process.round,
            process.send_poll,
            process.pop,
            lambda: process.read_poll(requeue=dice.random() < 0.5),
            lambda: process.move(dice.choice(list(Stage))),
        ]
        for move in dice.sample(moves, dice.randint(1, len(moves))):
            move()

    # --- threads that are interrupted

    @rule(which=which)
    def a_round_begins(self, which: int) -> None:
        if process := self.one(which):
            process.begin_round()

    @rule(which=which, fault=faults)
    def a_round_goes_on(self, which: int, fault: Fault) -> None:
        waiting = [process for process in self.world.alive if process.round_actor]
        if waiting:
            process = waiting[which % len(waiting)]
            if not self._resume(process.round_actor, fault):
                process.round_actor = None

    @rule(which=which)
    def a_tick_begins(self, which: int) -> None:
        if process := self.one(which):
            process.begin_tick()
            self.a_tick_goes_on(which)

    @rule(which=which)
    def a_tick_goes_on(self, which: int) -> None:
        waiting = [process for process in self.world.alive if process.tick_actor]
        if waiting:
            process = waiting[which % len(waiting)]
            if not self._resume(process.tick_actor, Fault.NONE):
                process.tick_actor = None

    @rule()
    def a_look_begins(self) -> None:
        self.world.begin_look()

    @rule(which=which, seams=st.integers(1, 9), fault=faults)
    def a_look_goes_on(self, which: int, seams: int, fault: Fault) -> None:
        looks = self.world.looks
        if looks:
            actor = looks[which % len(looks)]
            while seams > 1 and self._resume(actor, Fault.NONE):
                seams -= 1
            if not self._resume(actor, fault):
                looks.remove(actor)

    @rule()
    def a_look(self) -> None:
        self.world.look()

    def _resume(self, actor: Actor | None, fault: Fault) -> bool:
        """Whether it is to be resumed again."""
        assert actor is not None
        if fault is Fault.LATE:
            fault = self.world.timeout_at(actor.place)
        if fault is not Fault.NONE and actor.place.startswith("redis"):
            fault = Fault.FAILS if fault is Fault.LATE else fault
        actor.resume(fault)
        return not actor.done

    # --- ECS

    @rule(seed=seeds)
    def ecs_reconciles(self, seed: int) -> None:
        self.world.reconcile(seed)

    @rule(at_most=st.integers(1, 2))
    def tasks_start(self, at_most: int) -> None:
        self.world.boot(at_most=at_most)

    @rule()
    def stops_are_delivered(self) -> None:
        self.world.deliver_stops()

    @rule()
    def a_deployment_begins(self) -> None:
        if self.deploys and not self.world.ecs.is_rolling_out:
            self.world.ecs.deploy()

    # --- accidents

    @rule(which=which, order=orders)
    def somebody_else_gives_an_order(self, which: int, order: str) -> None:
        if process := self.one(which):
            self.world.store.set(order_key(process.identity.member_id), order)

    @rule(desired=st.integers(0, MAXIMUM + 2))
    def somebody_else_sets_desired(self, desired: int) -> None:
        ecs, self.world.operator_at = self.world.ecs, self.world.time
        ecs.cluster.update_service({"service": ecs.service.name, "desiredCount": desired}, now=ecs.now)

    @rule(which=which)
    def a_worker_crashes(self, which: int) -> None:
        if process := self.one(which):
            self.world.crash(process)

    @rule()
    def ecs_notices_who_is_gone(self) -> None:
        self.world.notice_ends()

    @rule(which=which)
    def spot_takes_a_worker(self, which: int) -> None:
        if process := self.one(which):
            process.forced = True
            self.world.ecs.cluster.stop(process.task_id, reason="Spot", now=self.world.ecs.now)

    @rule(which=which)
    def a_broker_connection_breaks(self, which: int) -> None:
        if process := self.one(which):
            process.disconnect()

    @rule()
    def redis_goes_away(self) -> None:
        self.world.store.up = False
        for process in self.world.alive:
            process.disconnect()

    @rule(skew=st.sampled_from([0.0, -2.0, 2.0]))
    def redis_comes_back(self, skew: float) -> None:
        self.world.store.up, self.world.store.skew = True, skew

    @rule()
    def redis_restarts_empty(self) -> None:
        self.world.restart_redis()

    @rule(which=which, known=st.booleans())
    def a_record_is_malformed(self, which: int, known: bool) -> None:
        process = self.one(which)
        self.world.corrupt(process.identity.member_id if process and known else "stranger/worker")

    @rule()
    def the_memory_is_garbage(self) -> None:
        self.world.forget_memory()

    @rule(fault=faults)
    def the_protection_endpoint_changes(self, fault: Fault) -> None:
        self.world.ecs.endpoint = fault

    @rule(throttled=st.booleans())
    def ecs_is_throttled_or_not(self, throttled: bool) -> None:
        self.world.ecs.throttled = throttled

    @rule(fault=st.sampled_from([Fault.NONE, Fault.FAILS, Fault.LOST]), rarely=st.integers(0, 3))
    def long_minutes_pass(self, fault: Fault, rarely: int) -> None:
        """A lease is renewed several times, or runs out."""
        if rarely:
            return
        self.world.ecs.endpoint = fault
        for _ in range(LONG_S // LONG_STEP_S):
            self.world.advance(LONG_STEP_S)
            for process in self.world.alive:
                process.tick()
                process.round()
                process.send_poll()
                process.pop()
            self.world.check()
        self.world.ecs.endpoint = Fault.NONE

    # --- at last

    def teardown(self) -> None:
        try:
            if sys.exception() is None and self.settles:  # otherwise a step has failed already
                self._settle()
        finally:
            if hasattr(self, "world"):
                self.world.close()
            self._stack.close()

    def _settle(self) -> None:
        """With the accidents over, the fleet becomes what is needed; and the smallest, when nothing is."""
        world = self.world
        world.heal()
        for _ in range(SETTLE_PERIODS):
            world.orderly(PERIOD_S, work=False)
        if world.ecs.is_rolling_out:
            return  # until the scaler drains the workers of an older deployment
        queued, held = world.store.queues[QUEUE], sum(len(process.messages) for process in world.alive)
        needed = workers_needed(queued + held, world.policy)
        consuming = [process for process in world.alive if process.agent._state == CONSUMING]
        _expect(len(consuming) == needed, f"{len(consuming)} consume, {needed} are needed")
        _expect(not queued or len(consuming) == MAXIMUM, f"{queued} wait beside {len(consuming)} workers")
        for _ in range(SETTLE_PERIODS):
            world.orderly(PERIOD_S, work=True)
        left = sum(len(process.messages) for process in world.alive)
        _expect(world.store.queues[QUEUE] == left == 0, "tasks are left")
        sizes = (world.ecs.service.desired_count, len(world.ecs.tasks), world.ecs.protected)
        _expect(sizes == (world.minimum,) * 3, f"desired, tasks and protected are {sizes}, not {world.minimum}")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)
