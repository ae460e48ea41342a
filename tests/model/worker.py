"""A worker's process in the model: production's step and agent on a stand-in for Celery, and the messages it holds.

The pool's threads run tasks and acknowledge their messages, also when the event loop stands still or has no connection.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock, patch

import redis

from agent.identity import Identity
from agent.unacked import PatientQoS
from agent.worker import FleetStep
from fleet.registry import Registry
from tests.model.ecs import Ecs, Endpoint
from tests.model.messages import BRPOP_S, Message, Poll, Stage
from tests.model.redis_store import Client, Store
from tests.model.seams import Actor, Seams

QUEUE = "default"
POOL = "worker"
SLOTS = 2
WORKERS_RELEASE = "3"
_here = threading.local()  # `process`: whose code the thread runs


def count_active() -> int:
    """As agent.worker.count_active, of the worker whose code this thread runs."""
    process: Process = _here.process
    return process.count_active()


def count_slots(declared: int, active: int) -> int:
    """As agent.worker.count_slots, of the worker whose code this thread runs."""
    process: Process = _here.process
    return process.count_slots(declared, active)


def end_process() -> None:
    """As agent.worker.end_process, of the worker whose code this thread runs."""
    process: Process = _here.process
    process.gives_up = True


class _Delivered(OrderedDict[int, Message]):
    """As kombu's."""

    restored = False


class Process:
    """One container. `forced`: Spot takes it, whatever it does. `lease_lost_at`: when its protection ran out.

    `fitting`: how many tasks its memory allows for. `hangs_since`: when its connection began to lead nowhere.
    `dead_since`: when its event loop stopped for good.
    """

    def __init__(self, task_id: str, *, seams: Seams, store: Store, ecs: Ecs, now: Callable[[], float]) -> None:
        self.task_id = task_id
        self.store, self.seams, self.now = store, seams, now
        self.messages: list[Message] = []
        self.poll: Poll | None = None
        self.done = 0
        self.fitting = SLOTS
        self.stopping = self.ended = self.forced = self.gives_up = False
        self.hangs_since: float | None = None
        self.dead_since: float | None = None
        self.answered_at = 0.0
        self.queued_twice = 0
        self.slow_replies = self.slow_acks = False  # its broker answers later
        self.lease_lost_at: float | None = None
        self.agent_actor: Actor | None = None
        self.tick_actor: Actor | None = None
        self.agent_ticked_at = self.tick_at = self.born = now()
        self.subscribed: set[str] = set()
        self._listed: set[str] = set()
        self.consumer = SimpleNamespace(task_consumer=None, app=_app())
        self._client = Client(store, seams)
        with (
            patch("agent.worker.registry_of", lambda _: Registry(cast("redis.Redis", self._client))),
            patch("agent.worker.TaskProtection", lambda _: Endpoint(ecs, task_id)),
        ):
            self.step = FleetStep(self.consumer)
        self.agent = self.step._agent
        self.identity = Identity(
            role="worker",
            task_arn=f"arn:aws:ecs:eu-west-1:123456789012:task/model/{task_id}",
            pool=POOL,
            queues=(QUEUE,),
            slots=SLOTS,
            image_version="1",
            airflow_version=WORKERS_RELEASE,
        )
        self.connect()

    # --- what the step sees of Celery and kombu

    def consuming_from(self, name: str) -> bool:
        return name in self.subscribed

    def add_queue(self, queue: Any) -> None:
        self._listed.add(queue.name)

    def consume(self) -> None:
        self.subscribed = set(self._listed)
        self.seams.pause("subscribed")

    def cancel_by_queue(self, name: str) -> None:
        self.seams.pause("unsubscribing")
        self._listed.discard(name)
        self.subscribed.discard(name)

    def count_active(self) -> int:
        """As agent.worker.count_active."""
        return len(self.held)

    def count_slots(self, declared: int, active: int) -> int:
        """As agent.worker.count_slots."""
        return min(declared, max(active, self.fitting))

    @property
    def held(self) -> list[Message]:
        """As agent.unacked.holdings: the messages of this connection and of earlier ones."""
        return [m for m in self.messages if m.stage in (Stage.RESERVED, Stage.ACTIVE, Stage.UNACKED)]

    @property
    def channel(self) -> SimpleNamespace:
        room = len(self.held) < self.fitting
        qos = SimpleNamespace(has_room=room, can_consume=lambda: room)
        return SimpleNamespace(qos=qos, _in_poll=self.poll, answered_at=self.answered_at)

    # --- the event loop

    @property
    def loop_is_free(self) -> bool:
        is_free = not self.ended and not self.stopping and self.tick_actor is None
        return is_free and self.connected and self.dead_since is None

    @property
    def connected(self) -> bool:
        return self.consumer.task_consumer is not None

    def tick(self) -> None:
        if self.loop_is_free:
            self._tick()

    def _tick(self) -> None:
        _here.process = self
        self.tick_at = self.now()
        try:
            self.step._tick(self.consumer)
        except redis.TimeoutError:  # Celery's event loop ends, and it connects again
            self._lose_connection()

    def begin_tick(self) -> None:
        if self.loop_is_free:
            self.tick_actor = Actor(self.seams, self._tick, now=self.now())

    def send_poll(self) -> None:
        room = len(self.messages) < self.fitting
        if self.loop_is_free and self.poll is None and self.subscribed and room:
            self.poll = Poll(sent_at=self.now())

    def read_poll(self, *, requeue: bool) -> None:
        """Read what Redis answered, if it did. A message of a queue that was left goes back, or is still taken."""
        if not self.loop_is_free or self.poll is None or self.slow_replies or self.hangs_since is not None:
            return
        if self.poll.answered:
            self.poll, self.answered_at = None, self.now()
            message = next(m for m in self.messages if m.stage is Stage.POPPED)
            if requeue and not self.subscribed:
                self.messages.remove(message)
                self.store.queues[QUEUE] += 1
            else:
                message.stage, message.read_at = Stage.HIDDEN, self.now()
        elif self.now() >= self.poll.sent_at + BRPOP_S:
            self.poll, self.answered_at = None, self.now()

    def move(self, stage: Stage) -> None:
        """Move the first message at `stage` one stage on."""
        message = next((m for m in self.messages if m.stage is stage), None)
        if message is None or (stage in (Stage.POPPED, Stage.HIDDEN) and not self.loop_is_free):
            return
        if stage is Stage.UNACKED and (self.slow_acks or not self.store.up or self.store.is_replica):
            return
        match stage:
            case Stage.HIDDEN:
                message.stage = Stage.RESERVED
            case Stage.RESERVED:
                message.stage = Stage.ACTIVE
            case Stage.ACTIVE:
                message.stage = Stage.UNACKED
            case Stage.UNACKED:
                self.messages.remove(message)
                self.done += 1

    # --- Redis's side

    def pop(self) -> None:
        """Redis gives this worker's BRPOP a message."""
        poll = self.poll
        if self.ended or poll is None or poll.answered or not self.store.up or self.store.queues[QUEUE] == 0:
            return
        if self.store.is_replica or self.hangs_since is not None:
            return
        if self.now() < poll.sent_at + BRPOP_S:
            self.store.queues[QUEUE] -= 1
            poll.answered = True
            self.messages.append(Message(stage=Stage.POPPED, taken_at=self.now()))

    # --- the agent's thread

    def agent_tick(self) -> None:
        if not self.ended and self.agent_actor is None:
            self._agent_tick()

    def _agent_tick(self) -> None:
        _here.process = self
        self.agent.tick(self.identity)
        self.agent_ticked_at = self.now()

    def begin_agent_tick(self) -> None:
        if not self.ended and self.agent_actor is None:
            self.agent_actor = Actor(self.seams, self._agent_tick, now=self.now())

    # --- its life

    def disconnect(self) -> None:
        """Break the broker's connection. Tasks run on; what was on the wire is lost."""
        if self.ended or self.stopping or self.dead_since is not None:
            return
        if self.tick_actor is not None:
            self.tick_actor.abandon()
            self.tick_actor = None
        self._lose_connection()

    def connect(self) -> None:
        is_away = not self.store.up or self.store.is_replica
        if self.ended or self.stopping or self.connected or is_away or self.dead_since is not None:
            return
        self.consumer.task_consumer = self
        self._listed = {QUEUE}
        self.step.start(self.consumer)
        self.consume()  # as Celery's event loop does when it starts
        self.step.register_with_event_loop(self.consumer, Mock())
        self.tick_at = self.now()

    def terminate(self) -> None:
        """SIGTERM: Celery leaves its queues and waits for what runs."""
        if self.ended or self.stopping:
            return
        self.agent.shut_down()
        self.disconnect()
        self.poll, self.subscribed = None, set()
        self.messages = self.held
        self.stopping = True

    def end(self) -> None:
        """End the process, and everything in it."""
        for actor in (self.tick_actor, self.agent_actor):
            if actor is not None:
                actor.abandon()
        self.tick_actor = self.agent_actor = None
        self.ended = True
        self.messages.clear()
        self.poll = None

    def leave(self) -> None:
        """Let a worker that was told to stop exit once nothing runs."""
        if self.stopping and not self.ended and not self.messages:
            if self.agent_actor is not None:
                self.agent_actor.finish()
            with suppress(redis.RedisError):
                self.agent._registry.forget(self.identity.member_id)
            self.end()

    def hang(self) -> None:
        """Let the connection lead nowhere, as when a host vanishes; a message on the wire is lost."""
        if self.connected and self.hangs_since is None and self.dead_since is None and not self.stopping:
            self.hangs_since = self.now()
            self.messages = [m for m in self.messages if m.stage is not Stage.POPPED]
            if self.poll is not None:
                self.poll.answered = False

    def die(self) -> None:
        """Let the event loop stand still for good. The pool's threads and the agent's go on."""
        if self.dead_since is None and not self.stopping and not self.ended:
            if self.tick_actor is not None:
                self.tick_actor.abandon()
                self.tick_actor = None
            self.dead_since = self.now()
            self.messages = self.held

    def _lose_connection(self) -> None:
        self.step.stop(self.consumer)
        self.consumer.task_consumer = None
        self.hangs_since, self.answered_at = None, 0.0
        self.poll = None
        self.subscribed, self._listed = set(), set()
        self.messages = self.held
        self._close_channel()

    def _close_channel(self) -> None:
        """Let production's code decide what becomes of the messages of running tasks."""

        def restore() -> None:
            self.queued_twice += len(self.held)

        delivered = _Delivered(enumerate(self.held))
        channel = SimpleNamespace(do_restore=True)
        qos: Any = SimpleNamespace(
            _on_collect=Mock(),
            _flush=lambda: None,
            _delivered=delivered,
            restore_at_shutdown=True,
            channel=channel,
            restore_unacked=restore,
        )
        PatientQoS.restore_unacked_once(qos, stderr=Mock())


def _app() -> SimpleNamespace:
    queues = {QUEUE: SimpleNamespace(name=QUEUE)}
    return SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=queues)))
