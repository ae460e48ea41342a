"""The scheduler's executor: Airflow's CeleryExecutor, which also frees the slots of tasks whose results were lost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from airflow.executors.workloads import ExecuteTask
from airflow.models.taskinstance import TaskInstance
from airflow.providers.celery.executors.celery_executor import CeleryExecutor
from airflow.providers.celery.executors.celery_executor_utils import ExceptionWithTraceback
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from celery.result import AsyncResult
from kombu.exceptions import OperationalError
from redis import RedisError
from redis.exceptions import NoPermissionError
from sqlalchemy import select

RECONCILE_EVERY_S = 10.0
UNFINISHED = frozenset(
    {TaskInstanceState.SCHEDULED, TaskInstanceState.QUEUED, TaskInstanceState.RUNNING, TaskInstanceState.RESTARTING}
)


class FleetExecutor(CeleryExecutor):  # type: ignore[misc]  # Airflow is not type-checked here
    """Redis can lose a result, by a failover for example; its task would keep a slot until the scheduler restarts.

    The database knows that the task has ended, because its supervisor reported it through the Execution API.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ids: dict[Any, Any] = {}  # key of a task instance -> its id in the database
        self._reconciled_at = time.monotonic()

    def _process_workloads(self, workload_items: Sequence[Any]) -> None:
        for workload in workload_items:
            if isinstance(workload, ExecuteTask):
                self._ids[workload.ti.key] = workload.ti.id
        super()._process_workloads(workload_items)

    def _send_workloads_to_celery(self, workload_tuples_to_send: Sequence[Any]) -> Sequence[Any]:
        """Treat a refusal like a silent broker: Airflow sends again what was not sent in time, and fails the rest.

        A broker can be full, or a replica for a moment, or lose its connections; none of this is the task's fault.
        """
        sent = super()._send_workloads_to_celery(workload_tuples_to_send)
        return [(key, args, _patiently(result)) for key, args, result in sent]

    def change_state(self, key: Any, *args: Any, **kwargs: Any) -> None:
        """Forget the id with the task."""
        self._ids.pop(key, None)
        super().change_state(key, *args, **kwargs)

    def revoke_task(self, *, ti: TaskInstance) -> None:
        """Forget the id with the task."""
        self._ids.pop(ti.key, None)
        super().revoke_task(ti=ti)

    def sync(self) -> None:
        """Read the results and, every RECONCILE_EVERY_S, the database."""
        super().sync()
        if time.monotonic() - self._reconciled_at >= RECONCILE_EVERY_S:
            self._reconcile()
            self._reconciled_at = time.monotonic()

    def end(self, synchronous: bool = False) -> None:  # noqa: ARG002 - Airflow's signature
        """Read the results once: Airflow's own would wait for each task's result, which may be lost."""
        self.sync()

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Adopt every task that has a Celery id. The next `sync` reads its result, if there is one."""
        for ti in tis:
            if ti.external_executor_id is not None:
                key = ti.key
                self.workloads[key] = AsyncResult(ti.external_executor_id, app=self.celery_app)
                self._ids[key] = ti.id
                self.running.add(key)
        return [ti for ti in tis if ti.external_executor_id is None]

    def _reconcile(self) -> None:
        """Free the slots of tasks which the database knows to have ended, or which run another try by now."""
        keys = {self._ids[key]: key for key in self.workloads if key in self._ids}
        if not keys:
            return
        query = select(TaskInstance.id, TaskInstance.try_number, TaskInstance.state)
        with create_session() as session:
            found = {row.id: row for row in session.execute(query.where(TaskInstance.id.in_(list(keys))))}
        for ti_id, key in keys.items():
            row = found.get(ti_id)
            if row is None or row.try_number != key.try_number or row.state not in UNFINISHED:
                self.log.info("fleet: the result of %s was lost; its slot is free again", key)
                self.workloads.pop(key, None)
                self.running.discard(key)
                self._ids.pop(key, None)


def _patiently(result: Any) -> Any:
    if isinstance(result, ExceptionWithTraceback) and _may_pass(result.exception):
        return ExceptionWithTraceback(AirflowTaskTimeout(f"the broker refuses: {result.exception}"), result.traceback)
    return result


def _may_pass(error: BaseException) -> bool:
    """Return whether a later attempt can succeed: not if the broker's user may not write to the task's queue."""
    refused = (error, error.__cause__, error.__context__)
    return isinstance(error, (OperationalError, RedisError)) and not any(
        isinstance(each, NoPermissionError) for each in refused
    )
