"""Adds the fleet agent to a Celery worker: Celery imports this module because the entrypoint lists it.

Only the event loop's thread touches Celery's objects, in `FleetStep`; only the agent's thread makes calls that wait.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from time import monotonic
from typing import Any

import redis
from celery import bootsteps
from celery.signals import celeryd_init, task_prerun, worker_init, worker_shutdown, worker_shutting_down
from celery.worker import state as requests
from celery.worker.control import Panel, inspect_command

from agent import control, variables
from agent.admission import admission
from agent.broker import registry_of
from agent.conduct import NO_ANSWER, PROOF_S, IdleWatch, Snapshot
from agent.fleet_agent import FleetAgent
from agent.gates import limit_s
from agent.identity import read_identity, read_task_id
from agent.left_behind import tally
from agent.protection import TaskProtection
from agent.runner.protocol import READY
from agent.shared_peaks import SharedPeaks
from agent.unacked import holdings
from agent.versions import CodeHash, CodeWatch, code_folders

log = logging.getLogger(__name__)

TICK_S = 0.25
EXIT_AFTER_S = 20.0  # an event loop that stands still does not notice a signal

_code = CodeHash(code_folders(os.environ))


def count_active() -> int:
    """Count the tasks that run or wait in this worker, or are not acknowledged, over all of its connections.

    A task stops being active before its message is acknowledged.
    """
    return max(len(requests.active_requests), len(requests.reserved_requests), len(holdings))


def count_slots(declared: int, active: int) -> int:
    """Count the slots that the worker uses at present, with so many tasks active."""
    return admission.slots(declared, held=active)


def end_process() -> None:
    """Stop this worker, which has no task."""

    def end() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(EXIT_AFTER_S)
        os._exit(1)

    threading.Thread(target=end, name="end", daemon=True).start()


class FleetStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is not typed
    """Subscribes to the queues while the agent commands it, and gives the agent snapshots of the worker.

    `start` runs at every (re)connection, when `task_consumer` exists and consumes nothing yet.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        registry = registry_of(os.environ)
        pool = os.environ.get(variables.POOL)
        chores = [holdings.renew, *([SharedPeaks(registry, pool, admission).share] if pool else [])]
        self._agent = FleetAgent(
            identify=lambda: read_identity(os.environ),
            registry=registry,
            protection=TaskProtection(os.environ[variables.AGENT_URI]),
            code=CodeWatch(os.environ),
            count_active=count_active,
            count_left_behind=lambda: tally.total,
            count_slots=count_slots,
            gate_s=limit_s(os.environ),
            chores=chores,
            end=end_process,
        )
        consumer.fleet_agent = self._agent  # for fleet_version
        self._idle = IdleWatch()
        folder = os.environ.get(variables.SHARED_FOLDER)
        self._awaited = None if folder is None else Path(folder, READY)
        self._queues: list[Any] = []
        self._timer: Any = None
        self._due_since: float | None = None  # when there was something to ask the broker for, on this connection
        worker_shutting_down.connect(lambda **_: self._agent.shut_down(), weak=False)
        worker_shutdown.connect(lambda **_: self._agent.end(), weak=False)

    def start(self, consumer: Any) -> None:
        """Unsubscribe from all queues; start the agent's thread, now that the pool's processes are forked."""
        self._queues = list(consumer.app.amqp.queues.consume_from.values())
        for queue in self._queues:
            consumer.task_consumer.cancel_by_queue(queue.name)
        self._idle = IdleWatch()
        self._due_since = None
        self._agent.snapshot = None
        self._agent.start()

    def stop(self, _consumer: Any) -> None:
        """Drop the snapshot, which is void once the connection is lost."""
        self._agent.snapshot = None

    shutdown = stop

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Start the ticks at every start of the event loop, whose timers are cleared when the connection is lost."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = hub.call_repeatedly(TICK_S, self._tick, consumer)

    def _tick(self, consumer: Any) -> None:
        tasks = consumer.task_consumer
        if tasks is None:
            self._agent.snapshot = None
            return
        channel = tasks.channel
        holdings.pay(channel)
        command = self._agent.command_now()
        is_wanted = command.consume and self._is_runner_ready()
        consuming = self._subscribe(tasks) if is_wanted else self._unsubscribe(tasks)
        # A BRPOP under way can still bring a message. Private to kombu: if it changes, this raises, and a worker
        # without snapshots never drains.
        polling = bool(channel._in_poll)
        active = count_active()
        now = monotonic()
        quiet = not consuming and not active and not polling and not holdings.owes
        idle = self._idle.check(quiet=quiet, epoch=command.epoch, now=now)
        before = self._agent.snapshot
        is_due = polling or (consuming and channel.qos.has_room)
        self._agent.snapshot = Snapshot(
            at=now,
            epoch=command.epoch,
            consuming=consuming,
            active=active,
            idle=idle,
            read_at=channel.answered_at if is_due else now,
        )
        if before is None or (before.consuming, before.idle) != (consuming, idle):
            self._agent.kick()
        self._require_answers(channel, polling or (consuming and channel.qos.can_consume()), now)

    def _is_runner_ready(self) -> bool:
        """Return whether the runner can take a task soon; also where there is none."""
        if self._awaited is not None and self._awaited.exists():
            self._awaited = None
        return self._awaited is None

    def _require_answers(self, channel: Any, is_due: bool, now: float) -> None:
        """Raise redis.TimeoutError, after which Celery connects again, when the broker has not answered for PROOF_S."""
        if not is_due:
            self._due_since = None
            return
        self._due_since = now if self._due_since is None else self._due_since
        if now - max(self._due_since, channel.answered_at) > PROOF_S:
            raise redis.TimeoutError(NO_ANSWER)

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


def name_node(instance: Any, **_: Any) -> None:
    """Name the worker after its ECS task, so that Flower shows which is which."""
    instance.hostname = f"celery@{read_task_id(os.environ)}"


def install(sender: Any, **_: Any) -> None:
    """Add the step before the consumer is built, and limit what the worker can be told."""
    control.limit(Panel.data)
    sender.app.steps["consumer"].add(FleetStep)


def note_code(**_: Any) -> None:
    """Hash the files just before a task imports them, for the task's log."""
    try:
        os.environ[variables.DAGS_HASH] = _code.read()
    except OSError as error:
        os.environ[variables.DAGS_HASH] = ""
        log.warning("fleet: the DAG files cannot be hashed: %s", error)


@inspect_command()  # type: ignore[untyped-decorator]  # Celery is not typed
def fleet_version(state: Any) -> dict[str, str]:
    """Return which code the worker runs."""
    answer: dict[str, str] | None = state.consumer.fleet_agent.answer()
    return answer or {"error": "the worker has not read its code yet"}


celeryd_init.connect(name_node)
worker_init.connect(install)
task_prerun.connect(note_code)
