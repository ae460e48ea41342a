"""Finds results that are obsolete: of a task that has asked to run again later, as a sensor does between two pokes."""

from __future__ import annotations

from collections.abc import Collection

from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.models.taskreschedule import TaskReschedule
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import exists, select

# Between two pokes. No message of a task in these states is with the broker: the scheduler sends the next one after it
# has set QUEUED.
BETWEEN = (TaskInstanceState.UP_FOR_RESCHEDULE, TaskInstanceState.SCHEDULED)


def obsolete(ended: Collection[TaskInstanceKey]) -> set[TaskInstanceKey]:
    """Return those of the tasks that have `ended` whose try goes on later. Raises SQLAlchemyError.

    The database knows that a try goes on by its row in task_reschedule, which the webserver adds when the task says so.
    """
    if not ended:
        return set()
    query = (
        select(*(getattr(TaskInstance, field) for field in TaskInstanceKey._fields))
        .where(TaskInstance.filter_for_tis(ended), TaskInstance.state.in_(BETWEEN))
        .where(exists(select(TaskReschedule.id).where(TaskReschedule.ti_id == TaskInstance.id)))
    )
    with create_session() as session:
        return {TaskInstanceKey(*row) for row in session.execute(query)}.intersection(ended)
