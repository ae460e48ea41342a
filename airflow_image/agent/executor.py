"""The scheduler's executor: Airflow's CeleryExecutor, which waits for the broker and frees slots of lost results."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow._shared.timezones import timezone
from airflow.executors.workloads import ExecuteCallback, ExecuteTask
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.providers.celery.executors.celery_executor import CeleryExecutor
from airflow.providers.celery.executors.celery_executor_utils import (
    ExceptionWithTraceback,
    _get_celery_app_for_workload,
)
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from celery.result import AsyncResult
from kombu import pools
from kombu.exceptions import OperationalError
from redis import RedisError
from redis.exceptions import NoPermissionError
from sqlalchemy import select, update

from agent import connections, variables
from agent.broker import Outage, connect, in_words, patience_s
from agent.lost import MOST_TIMES, Sightings, waiting_in
from agent.rescheduled import obsolete
from fleet.pools import POOLS, read_pools, why_unserved

ENDED = frozenset({TaskInstanceState.SUCCESS, TaskInstanceState.FAILED})  # of a workload, whatever became of its task
RECONCILE_EVERY_S = 10.0
# A silent broker may read all that it was sent while it was silent: each attempt can be a further message.
SEND_AGAIN_AFTER_S = 2.0
UNFINISHED = frozenset(
    {TaskInstanceState.SCHEDULED, TaskInstanceState.QUEUED, TaskInstanceState.RUNNING, TaskInstanceState.RESTARTING}
)


connections.install()


class BrokerRefuses(Exception):
    """The broker took no message for longer than the patience."""


class FleetExecutor(CeleryExecutor):  # type: ignore[misc]  # Airflow is not type-checked here
    """Airflow's CeleryExecutor, for a broker that may be away for a while and lose what it holds.

    Redis can lose a result, by a failover for example; its task would keep a slot until the scheduler restarts.
    The database knows that the task has ended, because its supervisor reported it through the Execution API.
    Redis can lose a message, too: its task is queued again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ids: dict[Any, Any] = {}  # key of a task instance -> its id in the database
        self._reconciled_at = time.monotonic()
        self._patience_s = patience_s(os.environ)
        self._refused_since: dict[Any, float] = {}
        self._refusal: Any = None  # the last one, until a message is taken
        self._send_again_at = 0.0
        self._broker = Outage("the broker takes no messages; tasks wait", self.log)
        self._results = Outage("the broker gives no results; ended tasks keep their slots", self.log)
        self._client = connect(os.environ[variables.BROKER_URL])
        self._pools = read_pools(os.environ[POOLS])
        self._queues: dict[Any, str] = {}  # key of a task instance -> its queue
        self._sightings = Sightings()
        self._queued_again: Counter[Any] = Counter()

    def queue_workload(self, workload: Any, session: Any) -> None:
        """Fail a task or callback at once whose queue no pool serves: it would keep its slot without ever running.

        The DAG processor refuses such a DAG; this is for those it has parsed under other pools.
        """
        key, queue = _key_and_queue(workload)
        if queue is not None and (reason := why_unserved(queue, self._pools)):
            self.log.error("fleet: %s fails: %s", key, reason)
            self.fail(key, reason)
            return
        super().queue_workload(workload, session)

    def _process_workloads(self, workload_items: Sequence[Any]) -> None:
        for workload in workload_items:
            if isinstance(workload, ExecuteTask):
                self._ids[workload.ti.key] = workload.ti.id
                self._queues[workload.ti.key] = workload.ti.queue
        super()._process_workloads(workload_items)

    def _send_workloads_to_celery(self, workload_tuples_to_send: Sequence[Any]) -> Sequence[Any]:
        """Send messages, and return those that were sent or waited for the broker for as long as it may be away.

        A broker can be full, silent, or a replica for a moment, or lose its connections: none of this is the task's
        fault. Airflow sends what is not returned again in its next loop. One message goes first: where the broker does
        not answer, each takes a second, in which the scheduler does nothing else.
        """
        if self._refusal is not None and time.monotonic() < self._send_again_at:
            return self._settled([(key, workload, self._refusal) for key, workload, *_ in workload_tuples_to_send])
        first, rest = workload_tuples_to_send[:1], workload_tuples_to_send[1:]
        results = list(super()._send_workloads_to_celery(first))
        self._refusal = next((result for *_, result in results if _is_refused(result)), None)
        if self._refusal is not None:
            self._send_again_at = time.monotonic() + SEND_AGAIN_AFTER_S
            self._drop_connections()
            results += [(key, workload, self._refusal) for key, workload, *_ in rest]
        elif rest:
            results += super()._send_workloads_to_celery(rest)
        return self._settled(results)

    def _drop_connections(self) -> None:
        """Let the next message use a new connection: the present one may hang, be broken, or lead to a replica."""
        with contextlib.suppress(Exception):
            pools.reset()
        app = _get_celery_app_for_workload(self.team_name)  # the one that publishes
        app.amqp._producer_pool = app._pool = None

    def _settled(self, results: Sequence[Any]) -> Sequence[Any]:
        """Leave out the messages that go on waiting. Airflow fails a task whose result is another error."""
        now = time.monotonic()
        settled, why = [], None
        for key, workload, result in results:
            if not _is_refused(result):
                self._refused_since.pop(key, None)
                settled.append((key, workload, result))
                continue
            why = _why(result.exception)
            if now - self._refused_since.setdefault(key, now) >= self._patience_s:
                del self._refused_since[key]
                refusal = BrokerRefuses(f"the broker has taken no message for {self._patience_s:.0f} s: {why}")
                settled.append((key, workload, ExceptionWithTraceback(refusal, result.traceback)))
        if why is not None:
            self._broker.begin(why)
        else:
            self._broker.end()
        return settled

    def change_state(self, key: Any, *args: Any, **kwargs: Any) -> None:
        """Forget the task's own values with the task."""
        self._forget(key)
        self._queued_again.pop(key, None)
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
        if time.monotonic() - self._reconciled_at >= RECONCILE_EVERY_S:
            self._reconcile()
            self._reconciled_at = time.monotonic()

    def get_event_buffer(self, dag_ids: list[str] | None = None) -> dict[Any, Any]:
        """Return and forget the events, without the ends of pokes after which the scheduler has gone on.

        If it reads the end of a poke only when the sensor is scheduled for its next one, it takes the sensor for killed
        (apache/airflow issue 71172). Once Airflow ignores such an end by itself, this is not needed.
        """
        ended = [key for key, (state, _) in self.event_buffer.items() if _is_task(key) and state in ENDED]
        for key in obsolete(ended):
            self.log.info("fleet: %s goes on later; the end of its last poke is not reported", key)
            del self.event_buffer[key]
        events: dict[Any, Any] = super().get_event_buffer(dag_ids)
        return events

    def end(self, synchronous: bool = False) -> None:  # noqa: ARG002 - Airflow's signature
        """Read the results once: Airflow's own would wait for each task's result, which may be lost."""
        self.sync()

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Adopt every task that has a Celery id. The next `sync` reads its result, if there is one."""
        for ti in tis:
            if ti.external_executor_id is not None:
                key = ti.key
                self.workloads[key] = AsyncResult(ti.external_executor_id, app=self.celery_app)
                self._ids[key], self._queues[key] = ti.id, ti.queue
                self.running.add(key)
        return [ti for ti in tis if ti.external_executor_id is None]

    def _forget(self, key: Any) -> None:
        self._ids.pop(key, None)
        self._queues.pop(key, None)
        self._refused_since.pop(key, None)

    def _reconcile(self) -> None:
        """Free the slots of tasks which the database knows to have ended, or which run another try by now.

        Queue those again whose message is lost.
        """
        keys = {self._ids[key]: key for key in self.workloads if key in self._ids}
        if not keys:
            return
        query = select(TaskInstance.id, TaskInstance.try_number, TaskInstance.state, TaskInstance.external_executor_id)
        queued = {}
        with create_session() as session:
            found = {row.id: row for row in session.execute(query.where(TaskInstance.id.in_(list(keys))))}
        for ti_id, key in keys.items():
            row = found.get(ti_id)
            if row is None or row.try_number != key.try_number or row.state not in UNFINISHED:
                self.log.info("fleet: %s has ended without a result so far; its slot is free again", key)
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
        lost = [task for task in overdue - waiting if self._queued_again[queued[task]] < MOST_TIMES]
        for task in lost:
            if self._schedule_again(self._ids[queued[task]], celery_id=task):
                key = queued[task]
                self.log.warning("fleet: the broker has lost the message of %s, which is queued again", key)
                self._queued_again[key] += 1
                self.workloads.pop(key, None)
                self.running.discard(key)
                self._forget(key)

    def _schedule_again(self, ti_id: Any, *, celery_id: str) -> bool:
        """Set a task back from queued to scheduled, as Airflow does after task_queued_timeout; return whether it was.

        Not if it has started or was queued again since.
        """
        statement = (
            update(TaskInstance)
            .where(TaskInstance.id == ti_id, TaskInstance.state == TaskInstanceState.QUEUED)
            .where(TaskInstance.external_executor_id == celery_id)
            .values(
                state=TaskInstanceState.SCHEDULED,
                queued_dttm=None,
                queued_by_job_id=None,
                scheduled_dttm=timezone.utcnow(),
            )
            .execution_options(synchronize_session=False)
        )
        with create_session() as session:
            return bool(session.execute(statement).rowcount)


def _is_task(key: Any) -> bool:
    return isinstance(key, TaskInstanceKey)


def _key_and_queue(workload: Any) -> tuple[Any, str | None]:
    """Return the key of a workload and the queue that it names, as Airflow's CeleryExecutor reads it."""
    if isinstance(workload, ExecuteTask):
        return workload.ti.key, workload.ti.queue
    if isinstance(workload, ExecuteCallback) and isinstance(workload.callback.data, dict):
        return workload.callback.key, workload.callback.data.get("queue")
    return None, None


def _is_refused(result: Any) -> bool:
    """Return whether a later attempt can succeed: the broker refused the message, or did not answer in time.

    Airflow's time limit can end a call anywhere, and the next one on that connection raises an AttributeError. Not if
    the broker's user may not write to the task's queue.
    """
    if not isinstance(result, ExceptionWithTraceback):
        return False
    refusals = (OperationalError, RedisError, AirflowTaskTimeout, OSError, AttributeError)
    is_denied = any(isinstance(each, NoPermissionError) for each in _chain(result.exception))
    return isinstance(result.exception, refusals) and not is_denied


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it: Redis's own, where Celery tried again until the operation_timeout."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _why(error: BaseException) -> str:
    return repr(next((each for each in _chain(error) if isinstance(each, RedisError)), error))
