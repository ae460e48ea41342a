"""Puts the fleet agent into a Celery worker: Celery imports this module because the entrypoint lists it.

Only the event loop's thread touches Celery's objects, in `FleetStep`; only the agent's thread waits for anything.
"""

from __future__ import annotations

import logging
import os
from time import monotonic
from typing import Any

from celery import bootsteps
from celery.signals import celeryd_init, task_prerun, worker_init, worker_shutdown, worker_shutting_down
from celery.worker import state as requests
from celery.worker.control import inspect_command

from agent import variables
from agent.broker import connect
from agent.conduct import IdleWatch, Snapshot
from agent.fleet_agent import FleetAgent
from agent.gates import limit_s
from agent.identity import read_identity, read_task_id
from agent.protection import TaskProtection
from agent.versions import CodeHash, CodeWatch, code_folders
from fleet.registry import Registry

log = logging.getLogger(__name__)

TICK_S = 0.25

_code = CodeHash(code_folders(os.environ))


def count_active() -> int:
    """Tasks that run or wait in this worker. After a reconnection `reserved` forgets those that run: look at both."""
    return max(len(requests.active_requests), len(requests.reserved_requests))


class FleetStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is not typed
    """Subscribes to the queues while the agent commands it, and tells the agent what the worker is doing.

    `start` runs at every (re)connection, when `task_consumer` exists and consumes nothing yet.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._agent = FleetAgent(
            identify=lambda: read_identity(os.environ),
            registry=Registry(connect(os.environ[variables.BROKER_URL])),
            protection=TaskProtection(os.environ[variables.AGENT_URI]),
            code=CodeWatch(os.environ),
            count_active=count_active,
            gate_s=limit_s(os.environ),
        )
        consumer.fleet_agent = self._agent  # where fleet_version finds it
        self._idle = IdleWatch()
        self._queues: list[Any] = []
        self._timer: Any = None
        worker_shutting_down.connect(self._on_shutting_down, weak=False)
        worker_shutdown.connect(self._on_shutdown, weak=False)

    def start(self, consumer: Any) -> None:
        """Makes unsubscribed the default; starts the agent's thread, now that the pool's processes are forked."""
        self._queues = list(consumer.app.amqp.queues.consume_from.values())
        for queue in self._queues:
            consumer.task_consumer.cancel_by_queue(queue.name)
        self._idle = IdleWatch()
        self._agent.snapshot = None
        self._agent.start()

    def stop(self, _consumer: Any) -> None:
        """What was seen before a connection was lost says nothing any more."""
        self._agent.snapshot = None

    shutdown = stop

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Called at every start of the event loop, whose timers are cleared when the connection is lost."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = hub.call_repeatedly(TICK_S, self._tick, consumer)

    def _tick(self, consumer: Any) -> None:
        tasks = consumer.task_consumer
        if tasks is None:
            self._agent.snapshot = None
            return
        command = self._agent.command
        consuming = self._subscribe(tasks) if command.consume else self._unsubscribe(tasks)
        # Both are needed: a task is no longer active before its message is acknowledged, and a BRPOP under way can
        # still bring one. Private to kombu; where it changes this raises, and an unseen worker is never drained.
        unacked = len(tasks.channel.qos._delivered) - len(tasks.channel.qos._dirty)
        polling = bool(tasks.channel._in_poll)
        active = max(count_active(), unacked)
        now = monotonic()
        quiet = not consuming and not active and not polling
        idle = self._idle.look(quiet=quiet, epoch=command.epoch, now=now)
        before = self._agent.snapshot
        self._agent.snapshot = Snapshot(at=now, epoch=command.epoch, consuming=consuming, active=active, idle=idle)
        if before is None or (before.consuming, before.idle) != (consuming, idle):
            self._agent.kick()

    def _subscribe(self, tasks: Any) -> bool:
        missing = [queue for queue in self._queues if not tasks.consuming_from(queue.name)]
        for queue in missing:
            tasks.add_queue(queue)
        if missing:
            tasks.consume()
        return True

    def _unsubscribe(self, tasks: Any) -> bool:
        for queue in self._queues:
            if tasks.consuming_from(queue.name):
                tasks.cancel_by_queue(queue.name)
        return False

    def _on_shutting_down(self, **_: Any) -> None:
        self._agent.shut_down()

    def _on_shutdown(self, **_: Any) -> None:
        self._agent.end()


def name_node(instance: Any, **_: Any) -> None:
    """Names the worker after its ECS task, so that Flower shows which is which."""
    instance.hostname = f"celery@{read_task_id(os.environ)}"


def install(sender: Any, **_: Any) -> None:
    """Adds the step before the consumer is built."""
    sender.app.steps["consumer"].add(FleetStep)


def note_code(**_: Any) -> None:
    """Looks at the files now: what the next task imports is what is there at this moment."""
    try:
        os.environ[variables.DAGS_HASH] = _code.read()
    except OSError as error:
        os.environ[variables.DAGS_HASH] = ""
        log.warning("fleet: the DAG files cannot be hashed: %s", error)


@inspect_command()  # type: ignore[untyped-decorator]  # Celery is not typed
def fleet_version(state: Any) -> dict[str, str]:
    """What code the worker runs."""
    answer: dict[str, str] | None = state.consumer.fleet_agent.answer()
    return answer or {"error": "the worker has not looked at its code yet"}


celeryd_init.connect(name_node)
worker_init.connect(install)
task_prerun.connect(note_code)
