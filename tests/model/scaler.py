"""The autoscaler in the model: production's ticks, one after another or several at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from autoscaler.desired import STOPPING_HOLDS_S
from autoscaler.memory import Memory
from autoscaler.observation import Fleet, Service
from autoscaler.policy import Policy
from autoscaler.report import Outcome
from autoscaler.revision import DONE
from autoscaler.settings import Settings
from autoscaler.tick import tick
from fleet.member import CONSUMING, WORKER
from fleet.pools import Pool
from fleet.registry import Registry
from shared.known_tasks import KnownTasks
from shared.settings import BrokerSettings
from tests.model.ecs import SERVICE, Ecs
from tests.model.redis_store import Client, Store
from tests.model.seams import Actor, Seams
from tests.model.worker import POOL, QUEUE, SLOTS, Process

MAXIMUM = 4
SCALE_IN_AFTER_S = 30
ROLLOUT_PATIENCE_S = 120
POLL_S = 15
TICK_TIMEOUT_S = 60.0  # the function's timeout in the template
TICKS_AT_ONCE = 3


class Violation(AssertionError):
    """The protocol is broken."""


class Scaler:
    """Runs the autoscaler on one pool. `ticks` are those under way; it is its own Broker, too."""

    def __init__(
        self,
        *,
        seams: Seams,
        store: Store,
        ecs: Ecs,
        processes: Mapping[str, Process],
        now: Callable[[], float],
        minimum: int,
    ) -> None:
        self.seams, self.store, self.ecs, self.now = seams, store, ecs, now
        self._processes = processes
        self.ticks: list[Actor] = []
        self.ticked_at = now()
        pool = Pool(name=POOL, service=SERVICE, queues=(QUEUE,), minimum=minimum, maximum=MAXIMUM, concurrency=SLOTS)
        broker = BrokerSettings(host="model", port=6379, tls=False, user="default", secret_arn="")
        self._settings = Settings(
            broker=broker,
            cluster="model",
            pools=(pool,),
            poll_seconds=POLL_S,
            scale_in_after_s=SCALE_IN_AFTER_S,
            rollout_patience_s=ROLLOUT_PATIENCE_S,
        )
        self._known = KnownTasks(ecs, cluster="model", clock=now)
        self.client: Any = Client(self.store, self.seams)  # a redis.Redis, as far as production can tell

    @property
    def policy(self) -> Policy:
        return self._settings.policy(self._settings.pools[0])

    @property
    def has_done_rollout(self) -> bool:
        """Whether the stack's revision is known to work."""
        rollout = self._memory().rollout
        return rollout.revision == self.ecs.target and rollout.phase == DONE

    def connect(self) -> Any:
        """As shared.broker.Broker.connect."""
        self.client.ping()
        return self.client

    def _tick(self, *, target: str, invoked_at: float) -> list[Outcome]:
        """Tick with the environment that the function had when it was invoked."""
        broker: Any = self
        pool = replace(self._settings.pools[0], task_definition=target)
        settings = replace(self._settings, pools=(pool,))
        return list(
            tick(settings=settings, broker=broker, ecs=self.ecs, tasks=self._known, invoked_at=invoked_at).outcomes
        )

    def tick(self) -> None:
        """Run a tick without interruption; it acts on correct knowledge where the registry is right."""
        self.ticked_at = self.now()
        informed = self._is_registry_right()
        remembered = self._memory()
        most = max(self.ecs.service.desired_count, len(self.ecs.tasks))
        (outcome,) = self._tick(target=self.ecs.target, invoked_at=self.now())
        recalled = set(outcome.decision.recall) & set(remembered.stopping)
        fleet = outcome.observation.fleet
        if isinstance(fleet, Fleet):
            gone = {worker.id for worker in fleet.workers if worker.may_be_stopped} & recalled
            if any(0 <= outcome.observation.now - remembered.stopping[name] < STOPPING_HOLDS_S for name in gone):
                raise Violation("a worker is recalled for which desired was lowered")
        self._check_retirement(outcome)
        if self.ecs.is_asleep and not self.ecs.is_rolling_out and self.ecs.service.desired_count > most:
            raise Violation("a worker is started for a pool that is asleep")
        if informed and self.ecs.protected > self.ecs.service.desired_count:
            raise Violation(f"{self.ecs.protected} tasks are protected, {self.ecs.service.desired_count} desired")

    @staticmethod
    def _check_retirement(outcome: Outcome) -> None:
        """Check that no worker retires before another consumes in its place, and that none comes back."""
        fleet, service, needed = outcome.observation.fleet, outcome.observation.service, outcome.decision.needed
        if not isinstance(fleet, Fleet) or not isinstance(service, Service) or needed is None:
            return
        before = service.retire_before
        if before is None or before > outcome.observation.now or service.is_rolling_out:
            return
        retiring = {worker.id for worker in fleet.workers if worker.started_at < before}
        if retiring & set(outcome.decision.recall):
            raise Violation("a worker is recalled that AWS is about to stop")
        consuming = [w for w in fleet.workers if w.state == CONSUMING and not w.is_ordered_to_drain and not w.has_ended]
        drained = {worker.id for worker in consuming if worker.id in outcome.decision.drain}
        left = len(consuming) - len(drained)
        if drained & retiring and left < min(needed, len(consuming)):
            raise Violation(f"workers retire, {left} of {len(consuming)} consume on, {needed} are needed")

    def begin_tick(self) -> None:
        """Begin a tick during which other things happen, another tick among them."""
        if len(self.ticks) < TICKS_AT_ONCE:
            code = partial(self._tick, target=self.ecs.target, invoked_at=self.now())
            self.ticks.append(Actor(self.seams, code, now=self.now()))

    def _is_registry_right(self) -> bool:
        if not self.store.up or self.ecs.throttled:
            return False
        roster = Registry(self.client).members()
        shown = {member.id: member.protected for member in roster.members if member.role == WORKER}
        tasks, now = self.ecs.cluster.tasks, self.ecs.now
        true = {p.identity.member_id: tasks[p.task_id].is_protected(now) for p in self._processes.values()}
        stopping = any(process.stopping for process in self._processes.values())
        return not roster.malformed and shown == true and not stopping

    def _memory(self) -> Memory:
        if not self.store.up:
            return Memory()
        try:
            return Memory.from_record(Registry(self.client).read_memory(POOL))
        except ValueError:
            return Memory()

    def time_out(self) -> None:
        """End the functions that ran for too long."""
        for actor in [actor for actor in self.ticks if self.now() - actor.since > TICK_TIMEOUT_S]:
            actor.abandon()
        self.ticks = [actor for actor in self.ticks if not actor.done]

    def finish(self) -> None:
        for actor in self.ticks:
            actor.finish()
        self.ticks.clear()

    def abandon(self) -> None:
        for actor in self.ticks:
            actor.abandon()
