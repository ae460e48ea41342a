"""The model's world: one pool's queue, its workers, ECS and the autoscaler on one clock, and what must always hold."""

from __future__ import annotations

from random import Random
from typing import Any

from autoscaler.decide import RELEASE_HOLDS_S, Policy
from autoscaler.look import look
from autoscaler.memory import Memory
from autoscaler.observation import Fleet
from autoscaler.report import Outcome
from autoscaler.settings import Settings
from fleet.conduct import LEASE_MINUTES
from fleet.registry import MEMBERS_KEY, Registry, member_key, scaler_key
from local.aws.ecs.tasks import STARTING, Task
from shared.pools import Pool
from shared.settings import BrokerSettings
from tests.model.ecs import SERVICE, Ecs
from tests.model.redis_store import Client, Store
from tests.model.seams import Actor, Fault, Seams
from tests.model.worker import HIDDEN_S, POOL, QUEUE, SLOTS, Process, Stage

START = 1_000_000.0
MAXIMUM = 4
SCALE_IN_AFTER_S = 30
POLL_S = 15
LOOK_TIMEOUT_S = 60.0  # the function's timeout in the template
LOOKS_AT_ONCE = 3
ROUND_TIMEOUT_S = 8.0  # three calls of 2 or 3 s each
TICK_TIMEOUT_S = 5.0
LAG_S = 20.0  # no thread of a worker sleeps longer than this; fleet.conduct.LEASE_MARGIN_S allows for it


class Violation(AssertionError):
    """The protocol is broken."""


class World:
    """Everything there is. Whoever changes it calls `check` afterwards."""

    def __init__(self, *, minimum: int) -> None:
        self.time = START
        self.minimum = minimum
        self.seams = Seams()
        self.store = Store(self.now)
        self.store.queues[QUEUE] = 0
        self.ecs = Ecs(seams=self.seams, now=self.now, desired=minimum)
        self.processes: dict[str, Process] = {}
        self.looks: list[Actor] = []
        self.looked_at = START
        self.operator_at = float("-inf")  # when somebody else last changed desired
        self.done = 0
        pool = Pool(name=POOL, service=SERVICE, queues=(QUEUE,), minimum=minimum, maximum=MAXIMUM, concurrency=SLOTS)
        broker = BrokerSettings(host="model", port=6379, tls=False, secret_arn="")
        self._settings = Settings(
            broker=broker, cluster="model", pools=(pool,), poll_seconds=POLL_S, scale_in_after_s=SCALE_IN_AFTER_S
        )
        self.client = Client(self.store, self.seams)

    def now(self) -> float:
        return self.time

    @property
    def policy(self) -> Policy:
        return self._settings.policy(self._settings.pools[0])

    @property
    def alive(self) -> list[Process]:
        return [process for process in self.processes.values() if not process.ended]

    def task(self, process: Process) -> Task:
        return self.ecs.cluster.tasks[process.task_id]

    # --- time

    def advance(self, seconds: float) -> None:
        """Time passes; what cannot take any longer happens."""
        self.time += seconds
        self.ecs.run_late_requests()
        for process in self.alive:
            while any(m.stage is Stage.HIDDEN and self.time - m.read_at >= HIDDEN_S for m in process.messages):
                self._end_tick(process)
                process.move(Stage.HIDDEN)
            self._time_out(process)
            self._notice_lease(process)
            if self.time - process.tick_at > LAG_S:
                process.tick()
            if self.time - process.round_at > LAG_S:
                process.round()
        for actor in [actor for actor in self.looks if self.time - actor.since > LOOK_TIMEOUT_S]:
            actor.abandon()
        self.looks = [actor for actor in self.looks if not actor.done]

    def _time_out(self, process: Process) -> None:
        tick, round_ = process.tick_actor, process.round_actor
        if tick is not None and self.time - tick.since > TICK_TIMEOUT_S:
            self._end_tick(process)
        if round_ is not None and self.time - round_.since > ROUND_TIMEOUT_S:
            while not round_.done:
                round_.resume(self.timeout_at(round_.place))
            process.round_actor = None

    @staticmethod
    def timeout_at(place: str) -> Fault:
        """What a call becomes whose caller gives up."""
        return {"protection request": Fault.LATE, "protection answer": Fault.LOST}.get(place, Fault.FAILS)

    def _end_tick(self, process: Process) -> None:
        if process.tick_actor is not None:
            process.tick_actor.finish()
            process.tick_actor = None

    def _notice_lease(self, process: Process) -> None:
        """A lease that ran out is the last resort's case, if something kept it from being renewed."""
        until = self.task(process).protected_until
        if until is None or until > self.ecs.now or process.lease_lost_at is not None or process.forced:
            return
        process.lease_lost_at = until.timestamp()
        trouble = max(self.ecs.trouble.get(process.task_id, 0.0), self.operator_at)
        if process.messages and trouble < process.lease_lost_at - LEASE_MINUTES * 60:
            raise Violation(f"the lease of {process.task_id} ran out and nothing was in the way of its renewal")

    # --- what must hold

    def check(self) -> None:
        now = self.ecs.now
        for process in self.alive:
            if process.forced:
                continue
            if self.task(process).is_protected(now):
                process.lease_lost_at = None
                continue
            for message in process.messages:
                if process.lease_lost_at is None:
                    raise Violation(f"ECS may stop {process.task_id}, which has a message {message.stage.value}")
                if message.taken_at >= process.lease_lost_at:
                    raise Violation(f"{process.task_id} took a message without protection")

    # --- ECS

    def reconcile(self, seed: int) -> None:
        for task_id in self.ecs.reconcile(Random(seed)):
            process = self.processes.get(task_id)
            if process is None or process.ended:
                continue
            if process.messages and process.lease_lost_at is None and not process.forced:
                raise Violation(f"ECS stops {task_id}, which has work")
            process.forced = bool(process.messages)

    def boot(self, *, at_most: int = MAXIMUM) -> None:
        """Tasks that are starting run."""
        for task in [task for task in self.ecs.tasks if task.last_status in STARTING][:at_most]:
            if not task.wanted:
                self.ecs.report(task.id, "STOPPED")
                continue
            self.ecs.report(task.id, "RUNNING")
            self.processes[task.id] = Process(task.id, seams=self.seams, store=self.store, ecs=self.ecs, now=self.now)

    def deliver_stops(self) -> None:
        """SIGTERM reaches those that ECS stops; those that have nothing left exit; ECS notices who is gone."""
        for process in self.alive:
            if not self.task(process).wanted:
                process.terminate()
            process.leave()
        self.notice_ends()

    def notice_ends(self) -> None:
        for process in [process for process in self.processes.values() if process.ended]:
            self.ecs.report(process.task_id, "STOPPED")
            self.done += process.done
            del self.processes[process.task_id]

    # --- the autoscaler

    def connect(self) -> Client:
        """As shared.broker.Broker.connect."""
        self.client.ping()
        return self.client

    def _look(self) -> list[Outcome]:
        broker: Any = self
        return look(settings=self._settings, broker=broker, ecs=self.ecs)

    def look(self) -> None:
        """A look without interruption, which knows what it does where the registry is right."""
        self.looked_at = self.time
        informed = self._is_registry_right()
        remembered = self._memory()
        (outcome,) = self._look()
        recalled = set(outcome.decision.recall) & set(remembered.released)
        fleet = outcome.observation.fleet
        if isinstance(fleet, Fleet):
            gone = {worker.id for worker in fleet.workers if worker.may_be_stopped} & recalled
            if any(0 <= outcome.observation.now - remembered.released[name] < RELEASE_HOLDS_S for name in gone):
                raise Violation("a worker is recalled for which desired was lowered")
        if informed and self.ecs.protected > self.ecs.service.desired_count:
            raise Violation(f"{self.ecs.protected} tasks are protected, {self.ecs.service.desired_count} desired")

    def begin_look(self) -> None:
        """A look beside which other things happen, another look among them."""
        if len(self.looks) < LOOKS_AT_ONCE:
            self.looks.append(Actor(self.seams, self._look, now=self.time))

    def _is_registry_right(self) -> bool:
        if not self.store.up or self.ecs.throttled or self.ecs.is_rolling_out:
            return False
        roster = Registry(self.client).members()
        shown = {member.id: member.protected for member in roster.members}
        true = {p.identity.member_id: self.task(p).is_protected(self.ecs.now) for p in self.processes.values()}
        return not roster.malformed and shown == true and not any(p.stopping for p in self.alive)

    def _memory(self) -> Memory:
        if not self.store.up:
            return Memory()
        try:
            return Memory.from_record(Registry(self.client).recall(POOL))
        except ValueError:
            return Memory()

    # --- accidents

    def crash(self, process: Process) -> None:
        """SIGKILL. ECS notices later, the registry later still."""
        process.end()

    def restart_redis(self) -> None:
        self.store.clear()
        for process in self.alive:
            process.disconnect()

    def corrupt(self, member_id: str) -> None:
        self.store.set(member_key(member_id), "{", ex=60)
        self.store.zadd(MEMBERS_KEY, {member_id: self.time})

    def forget_memory(self) -> None:
        self.store.set(scaler_key(POOL), "[]")

    # --- order

    def heal(self) -> None:
        """The accidents are over, and everybody who waited goes on."""
        self.store.up, self.store.skew, self.ecs.throttled, self.ecs.endpoint = True, 0.0, False, Fault.NONE
        for process in self.alive:
            self._end_tick(process)
            if process.round_actor is not None:
                process.round_actor.finish()
                process.round_actor = None
        for actor in self.looks:
            actor.finish()
        self.looks.clear()
        self.ecs.run_late_requests(due_only=False)
        self.check()

    def orderly(self, seconds: float, *, work: bool) -> None:
        """A while in which everybody does what it should, in time. Tasks end only if `work`."""
        self.advance(seconds)
        for process in self.alive:
            process.connect()
            process.read_poll(requeue=True)
            for _ in range(SLOTS):
                process.move(Stage.HIDDEN)
                process.move(Stage.RESERVED)
                if work or process.forced or process.stopping:
                    process.move(Stage.ACTIVE)
                    process.move(Stage.UNACKED)
            process.tick()
            process.round()
            process.send_poll()
            process.pop()
            self.check()
        self.reconcile(0)
        self.boot()
        self.deliver_stops()
        if self.time - self.looked_at >= POLL_S:
            self.look()
        self.check()

    def close(self) -> None:
        for process in self.alive:
            process.end()
        for actor in self.looks:
            actor.abandon()
