"""What the scheduler's executor reads of task instances in Airflow's database, and writes to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from airflow._shared.timezones import timezone
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select, update

ROWS_AT_ONCE = 1000  # of one statement


def read_rows(ids: Collection[Any]) -> dict[Any, Any]:
    """Return `id`, `try_number`, `state` and `external_executor_id` of the task instances that exist, by id."""
    query = select(TaskInstance.id, TaskInstance.try_number, TaskInstance.state, TaskInstance.external_executor_id)
    found: dict[Any, Any] = {}
    if ids:
        with create_session() as session:
            for some in _parts(list(ids)):
                found |= {row.id: row for row in session.execute(query.where(TaskInstance.id.in_(some)))}
    return found


def schedule_again(queued: Mapping[str, Any]) -> int:
    """Set tasks back from queued to scheduled, as Airflow does after task_queued_timeout; return how many were.

    `queued`: ids of task instances by those of Celery. Those that have started or were queued again since are left.
    """
    statement = (
        update(TaskInstance)
        .where(TaskInstance.state == TaskInstanceState.QUEUED)
        .values(queued_by_job_id=None, **scheduled_values())
        .execution_options(synchronize_session=False)
    )
    count = 0
    if queued:
        with create_session() as session:
            for some in _parts(list(queued.items())):
                celery_ids, ids = zip(*some, strict=True)
                these = (TaskInstance.id.in_(ids), TaskInstance.external_executor_id.in_(celery_ids))
                count += session.execute(statement.where(*these)).rowcount
    return count


def scheduled_values() -> dict[str, Any]:
    """Return what a task instance gets that is to be queued again, in the same try."""
    return {"state": TaskInstanceState.SCHEDULED, "queued_dttm": None, "scheduled_dttm": timezone.utcnow()}


def _parts(items: list[Any]) -> list[list[Any]]:
    return [items[start : start + ROWS_AT_ONCE] for start in range(0, len(items), ROWS_AT_ONCE)]
