"""Reads the running tasks of one worker from Airflow's database, those that the reader may see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select

from fleet.member import Member

MOST_READ = 200
AT_WORK = (TaskInstanceState.RUNNING, TaskInstanceState.RESTARTING)
# An address is used again after its worker has gone, so earlier tasks are another's. Redis and the worker have clocks
# of their own.
CLOCKS_DIFFER_S = 5.0


def read_tasks(session: Any, worker: Member, *, may_see: Callable[[str], bool]) -> dict[str, Any]:
    """Return `tasks`, oldest first; `hidden`: how many the reader may not see; `more`: whether there are others.

    A task: dag, run, task, map_index (-1 if it is not mapped), try_number, and `since`, in seconds since the epoch.
    `may_see`: whether the reader may see the task instances of a DAG. Raises SQLAlchemyError.
    """
    ti = TaskInstance
    first = datetime.fromtimestamp(max(0.0, worker.started_at - CLOCKS_DIFFER_S), UTC)
    query = (
        select(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number, ti.start_date)
        .where(ti.state.in_(AT_WORK), ti.hostname == worker.host, ti.start_date >= first)
        .order_by(ti.start_date, ti.id)
        .limit(MOST_READ + 1)
    )
    rows = session.execute(query).all()
    read = rows[:MOST_READ]
    seen = {dag: may_see(dag) for dag in {row.dag_id for row in read}}
    tasks = [
        {
            "dag": row.dag_id,
            "run": row.run_id,
            "task": row.task_id,
            "map_index": row.map_index,
            "try_number": row.try_number,
            "since": row.start_date.timestamp(),
        }
        for row in read
        if seen[row.dag_id]
    ]
    return {"tasks": tasks, "hidden": len(read) - len(tasks), "more": len(rows) > MOST_READ}
