"""The scheduler's executor: Airflow's CeleryExecutor, with a share of the broker for each pool, which waits for it."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from airflow.executors.workloads import ExecuteCallback, ExecuteTask
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.providers.celery.executors.celery_executor import CeleryExecutor
from airflow.providers.celery.executors.celery_executor_utils import _get_celery_app_for_workload
from airflow.utils.state import TaskInstanceState
from celery.result import AsyncResult
from kombu import pools
from redis import RedisError

from agent import connections, idle, variables
from agent.broker import Outage, connect, in_words, patience_s
from agent.bundle_report import BundleReport
from agent.bundles_in_use import read_bundles
from agent.lost import GIVE_UP_AFTER_S, MOST_TIMES, Sightings, waiting_in
from agent.refusals import SEND_AGAIN_AFTER_S, Refusals
from agent.reporter import ReportingThread
from agent.rescheduled import obsolete
from agent.shares import Shares
from agent.task_rows import read_rows, schedule_again, scheduled_values
from fleet.pools import POOLS, find_pool, lists_of_pools, read_pools, why_unserved
from fleet.registry import WAITING_TTL_S, Registry, read_each, waiting_key

ENDED = frozenset({TaskInstanceState.SUCCESS, TaskInstanceState.FAILED})  # of a workload, whatever became of its task
RECONCILE_EVERY_S = 10.0
SHOW_EVERY_S = 3.0
# A message's token starts its task, for as long as the task is queued. A worker drops a message with an expired one,
# and the task is queued again (see agent.lost).
TOKEN_VALID_S = 24 * 3600.0
UNFINISHED = frozenset(
    {TaskInstanceState.SCHEDULED, TaskInstanceState.QUEUED, TaskInstanceState.RUNNING, TaskInstanceState.RESTARTING}
)


connections.install()


class FleetExecutor(CeleryExecutor):  # type: ignore[misc]  # Airflow is not type-checked here
    """Airflow's CeleryExecutor, with a share for each pool, for a broker that may be away and lose what it holds.

    Airflow limits an executor by one number for all queues (`parallelism`), so a pool whose slots are all taken would
    fill it with tasks that wait, and no other pool's task would be queued. Here that number is as good as none, and
    what exceeds a pool's share (agent.shares) waits in the executor, by priority. A limit by queue in Airflow's
    scheduler, which left such tasks scheduled, would make this unnecessary.

    Redis can lose a result, by a failover for example; its task would keep a slot until the scheduler restarts.
    The database knows that the task has ended, because its supervisor reported it through the Execution API.
    Redis can lose a message, too: its task is queued again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ids: dict[Any, Any] = {}  # key of a task instance -> its id in the database
        self._reconciled_at = time.monotonic()
        self._refusals = Refusals(patience_s(os.environ), self.log)
        self._results = Outage("the broker gives no results; ended tasks keep their slots", self.log)
        self._client = connect(os.environ[variables.BROKER_URL])
        self._pools = read_pools(os.environ[POOLS])
        self._shares = Shares(self._pools)
        self._held: set[Any] = set()  # keys of the queued tasks that wait here, as of the last loop
        self._full = {
            pool.name: Outage(f"more tasks of pool {pool.name} are queued than it can run at once; they wait", self.log)
            for pool in self._pools
        }
        self._count_again_at = 0.0
        self._waiting_now: dict[str, int] = {}  # pool -> tasks that wait here
        self._shown_at = -SHOW_EVERY_S
        self._queues: dict[Any, str] = {}  # key of a task instance or callback -> its queue
        self._sightings = Sightings()
        self._queued_again: Counter[Any] = Counter()
        self._queued_again_at: dict[Any, float] = {}
        self._bundles = BundleReport(Registry(self._client), read_bundles, self.log)
        self._reporting: ReportingThread | None = None

    def start(self) -> None:
        """Prepare the scheduler of this process, which calls this before its first loop, and report it to the fleet."""
        super().start()
        idle.install()
        if variables.TASK_ARN in os.environ:
            self._reporting = ReportingThread(os.environ)

    def queue_workload(self, workload: Any, session: Any) -> None:
        """Fail a task or callback at once whose queue no pool serves: it would keep its slot without ever running.

        The DAG processor refuses such a DAG; this is for those it has parsed under other pools.
        """
        key, queue = _key_and_queue(workload)
        if queue is not None and (reason := why_unserved(queue, self._pools)):
            self.log.error("fleet: %s fails: %s", key, reason)
            self.fail(key, reason)
            return
        workload.token = ""  # the message gets a new one
        super().queue_workload(workload, session)

    def order_queued_tasks_by_priority(self) -> list[tuple[Any, Any]]:
        """Return, by priority, those of the queued tasks for which their pools have room. The others wait.

        Airflow sends what this returns, in each loop of the scheduler.
        """
        ordered = super().order_queued_tasks_by_priority()
        room = self._room(Counter(self._shares.pool_of(workload.ti.queue) for _, workload in ordered))
        sent, waiting = [], Counter[str]()
        for key, workload in ordered:
            pool = self._shares.pool_of(workload.ti.queue)
            if pool is not None and room[pool] <= 0:
                waiting[pool] += 1
                continue
            room[pool] -= 1
            sent.append((key, workload))
        if self._drop_obsolete([key for key, _ in sent if key in self._held]):
            # A run with many tasks was cleared or marked as ended, perhaps. The next ones may go instead.
            self._drop_obsolete(self._held)
            return self.order_queued_tasks_by_priority()
        self._held = self.queued_tasks.keys() - {key for key, _ in sent}
        self._tell_of_full_pools(waiting)
        return sent

    def _tell_of_full_pools(self, waiting: Mapping[str, int]) -> None:
        """Log which pools begin to have tasks that wait here, and which no longer have any. `waiting`: by pool."""
        self._waiting_now = dict(waiting)
        for pool, full in self._full.items():
            if waiting.get(pool):
                full.begin(f"{waiting[pool]} at first, for its {self._shares.slots(pool)} slots")
            else:
                full.end()

    def _show_waiting(self) -> None:
        """Let the Fleet page show how many tasks of each pool wait here. Without the broker it shows none."""
        commands = {
            pool: ("SET", waiting_key(pool), count, "EX", WAITING_TTL_S) for pool, count in self._waiting_now.items()
        }
        if commands and time.monotonic() >= self._count_again_at:
            with contextlib.suppress(RedisError):
                read_each(self._client, commands)

    def _room(self, wanted: Mapping[str | None, int]) -> Counter[str | None]:
        """Return how many tasks of each pool may be sent; `wanted` are queued."""
        now = time.monotonic()
        published = Counter(self._shares.pool_of(self._queues.get(key)) for key in self.running)
        room = Counter[str | None]()
        for pool in self._full:
            room[pool] = self._shares.room(pool, published=published[pool], waiting=None, now=now)
        for pool, waiting in self._waiting([pool for pool in self._full if wanted[pool] > room[pool]]).items():
            room[pool] = self._shares.room(pool, published=published[pool], waiting=waiting, now=now)
        return room

    def _waiting(self, pools: Collection[str]) -> dict[str, int]:
        """Return how many messages wait in the queues of each of the pools; nothing if the broker does not say."""
        lists = {pool: lists_of_pools([find_pool(self._pools, pool)]) for pool in pools}
        if not pools or time.monotonic() < self._count_again_at:
            return {}
        try:
            lengths = read_each(
                self._client,
                {name: ("LLEN", name) for names in lists.values() for name in names},
                raise_on_error=True,
            )
        except RedisError:  # it is logged when a message is sent
            self._count_again_at = time.monotonic() + SEND_AGAIN_AFTER_S
            return {}
        return {pool: sum(lengths[name] for name in names) for pool, names in lists.items()}

    def _drop_obsolete(self, keys: Collection[Any]) -> int:
        """Forget those of the waiting tasks which the database no longer knows as queued; return how many.

        Their runs were cleared, deleted or marked as ended, or another scheduler has taken them over.
        """
        waiting = {key: self.queued_tasks[key].ti for key in keys if key in self.queued_tasks}
        found = read_rows({ti.id for ti in waiting.values()})
        dropped = [
            key
            for key, ti in waiting.items()
            if (row := found.get(ti.id)) is None
            or row.state != TaskInstanceState.QUEUED
            or (row.try_number, row.external_executor_id) != (ti.try_number, ti.external_executor_id)
        ]
        for key in dropped:
            del self.queued_tasks[key]
            self._held.discard(key)
            self._forget(key)
        if dropped:
            self.log.info("fleet: %d tasks that waited here are no longer queued, such as %s", len(dropped), dropped[0])
        return len(dropped)

    def _process_workloads(self, workload_items: Sequence[Any]) -> None:
        """Send messages, each with a token made now: its task may have waited here for long."""
        for workload in workload_items:
            key, queue = _key_and_queue(workload)
            if queue is not None:
                self._queues[key] = queue
            if isinstance(workload, ExecuteTask):
                self._ids[key] = workload.ti.id
            subject = workload.ti.id if isinstance(workload, ExecuteTask) else workload.callback.id
            workload.token = self.jwt_generator.generate(
                extras={"sub": str(subject), "scope": "workload"}, valid_for=TOKEN_VALID_S
            )
        super()._process_workloads(workload_items)

    def _send_workloads_to_celery(self, workload_tuples_to_send: Sequence[Any]) -> Sequence[Any]:
        """Send messages, and return those that were sent or waited for the broker for as long as it may be away.

        Airflow sends what is not returned again in its next loop. One message goes first: where the broker does not
        answer, each takes a second, in which the scheduler does nothing else.
        """
        if (refusal := self._refusals.pending) is not None:
            return self._refusals.settled([(key, workload, refusal) for key, workload, *_ in workload_tuples_to_send])
        first, rest = workload_tuples_to_send[:1], workload_tuples_to_send[1:]
        results = list(super()._send_workloads_to_celery(first))
        if (refusal := self._refusals.note_first(results)) is not None:
            self._drop_connections()
            results += [(key, workload, refusal) for key, workload, *_ in rest]
        elif rest:
            results += super()._send_workloads_to_celery(rest)
        return self._refusals.settled(results)

    def _drop_connections(self) -> None:
        """Let the next message use a new connection: the present one may hang, be broken, or lead to a replica."""
        with contextlib.suppress(Exception):
            pools.reset()
        app = _get_celery_app_for_workload(self.team_name)  # the one that publishes
        app.amqp._producer_pool = app._pool = None

    def change_state(self, key: Any, *args: Any, **kwargs: Any) -> None:
        """Forget the task's own values with the task."""
        self._shares.note_end(self._queues.get(key), now=time.monotonic())
        self._forget(key)
        self._queued_again.pop(key, None)
        self._queued_again_at.pop(key, None)
        super().change_state(key, *args, **kwargs)

    def revoke_task(self, *, ti: TaskInstance) -> None:
        """Forget the task's own values with the task."""
        self._forget(ti.key)
        super().revoke_task(ti=ti)

    def sync(self) -> None:
        """Read the results and, every RECONCILE_EVERY_S, the database. Without the broker, the results wait."""
        try:
            super().sync()
        except RedisError as error:
            self._results.begin(in_words(error))
        else:
            self._results.end()
        if time.monotonic() - self._shown_at >= SHOW_EVERY_S:
            self._show_waiting()
            self._shown_at = time.monotonic()
        if time.monotonic() - self._reconciled_at >= RECONCILE_EVERY_S:
            self._reconcile()
            if self._drop_obsolete(self._held) and not self._held:
                self._tell_of_full_pools({})
            self._bundles.tick()
            self._reconciled_at = time.monotonic()

    def get_event_buffer(self, dag_ids: list[str] | None = None) -> dict[Any, Any]:
        """Return and forget the events, without the ends of pokes after which the scheduler has gone on.

        If it reads the end of a poke only when the sensor is scheduled for its next one, it takes the sensor for killed
        (apache/airflow issue 71172). Once Airflow ignores such an end by itself, this is not needed.
        """
        ended = [
            key for key, (state, _) in self.event_buffer.items() if isinstance(key, TaskInstanceKey) and state in ENDED
        ]
        for key in obsolete(ended):
            self.log.info("fleet: %s goes on later; the end of its last poke is not reported", key)
            del self.event_buffer[key]
        events: dict[Any, Any] = super().get_event_buffer(dag_ids)
        return events

    def end(self, synchronous: bool = False) -> None:  # noqa: ARG002 - Airflow's signature
        """Read the results once, and leave the tasks that wait here to another scheduler.

        Airflow's own would wait for each task's result, which may be lost.
        """
        self.sync()
        waiting = [workload.ti for workload in self.queued_tasks.values()]
        if count := schedule_again({ti.external_executor_id: ti.id for ti in waiting}):
            self.log.info("fleet: %d tasks that waited here are scheduled again", count)
        self.queued_tasks.clear()
        if self._reporting is not None:
            self._reporting.end()

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Adopt every task that has a Celery id. The next `sync` reads its result, if there is one.

        Airflow gives a task its Celery id before its message is sent. A task that waited in the lost scheduler is
        scheduled again, in the same try; so is one whose message is lost. One that a worker is about to start may be
        among them: it runs once all the same (see agent.runner.obsolete).
        """
        known = [ti for ti in tis if ti.external_executor_id is not None]
        unknown = [ti for ti in tis if ti.external_executor_id is None]
        unsent = self._without_message(known)
        for ti in known:
            if ti.external_executor_id in unsent:
                ti.external_executor_id = None
                for name, value in scheduled_values().items():
                    setattr(ti, name, value)
                continue
            key = ti.key
            self.workloads[key] = AsyncResult(ti.external_executor_id, app=self.celery_app)
            self._ids[key], self._queues[key] = ti.id, ti.queue
            self.running.add(key)
        if unsent:
            self.log.info("fleet: %d tasks of another scheduler waited there; they are scheduled again", len(unsent))
        return unknown

    def _without_message(self, tis: Sequence[TaskInstance]) -> set[str]:
        """Return the Celery ids of the queued tasks whose message does not wait; none if the broker does not say."""
        queued = {ti.external_executor_id for ti in tis if ti.state == TaskInstanceState.QUEUED}
        if not queued:
            return queued
        try:
            return queued - waiting_in(self._client, (queue for pool in self._pools for queue in pool.queues))
        except RedisError as error:
            self._results.begin(in_words(error))
            return set()

    def _forget(self, key: Any) -> None:
        self._ids.pop(key, None)
        self._queues.pop(key, None)
        self._refusals.forget(key)

    def _reconcile(self) -> None:
        """Free the slots of tasks which the database knows to have ended, or which run another try by now.

        Queue those again whose message is lost.
        """
        keys = {self._ids[key]: key for key in self.workloads if key in self._ids}
        if not keys:
            return
        queued = {}
        found = read_rows(keys)
        for ti_id, key in keys.items():
            row = found.get(ti_id)
            if row is None or row.try_number != key.try_number or row.state not in UNFINISHED:
                self.log.info("fleet: %s has ended without a result so far; its slot is free again", key)
                self._shares.note_end(self._queues.get(key), now=time.monotonic())
                self.workloads.pop(key, None)
                self.running.discard(key)
                self._forget(key)
            elif row.state == TaskInstanceState.QUEUED and row.external_executor_id == self.workloads[key].task_id:
                queued[row.external_executor_id] = key
        self._queue_lost_again(queued)

    def _queue_lost_again(self, queued: Mapping[str, Any]) -> None:
        """Let the scheduler queue those tasks again whose message is nowhere. `queued`: keys by Celery's id."""
        now = time.monotonic()
        overdue = self._sightings.overdue(queued, now=now)
        if not overdue:
            return
        try:
            waiting = waiting_in(self._client, {self._queues[queued[task]] for task in overdue})
        except RedisError as error:  # what waits is unknown then
            self._results.begin(in_words(error))
            return
        self._sightings.see(waiting, now=now)
        for task in overdue - waiting:
            key = queued[task]
            if self._queued_again[key] >= MOST_TIMES:
                if now - self._queued_again_at[key] >= GIVE_UP_AFTER_S:
                    self.log.error("fleet: %s fails: its message was lost %d times", key, MOST_TIMES + 1)
                    self.fail(key, f"its message was lost {MOST_TIMES + 1} times")
            elif schedule_again({task: self._ids[key]}):
                self.log.warning("fleet: the broker has lost the message of %s, which is queued again", key)
                self._queued_again[key] += 1
                self._queued_again_at[key] = now
                self.workloads.pop(key, None)
                self.running.discard(key)
                self._forget(key)


def _key_and_queue(workload: Any) -> tuple[Any, str | None]:
    """Return the key of a workload and the queue that it names, as Airflow's CeleryExecutor reads it."""
    if isinstance(workload, ExecuteTask):
        return workload.ti.key, workload.ti.queue
    if isinstance(workload, ExecuteCallback) and isinstance(workload.callback.data, dict):
        return workload.callback.key, workload.callback.data.get("queue")
    return None, None
