"""Reads from Airflow's database which scheduled runs were created lately and have not ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType
from sqlalchemy import false, select

from agent.forecast import DueRun


def runs_under_way(session: Any, *, since: float, until: float) -> list[DueRun]:
    """The scheduled runs that were due between two times, in seconds since the epoch, and are queued or running.

    Not of DAGs that are paused or gone: the scheduler starts none of their tasks.
    `session`: a SQLAlchemy session on Airflow's database. Raises SQLAlchemyError.
    """
    begin, end = (datetime.fromtimestamp(time, tz=UTC) for time in (since, until))
    query = (
        select(DagRun.dag_id, DagRun.run_after)
        .join(DagModel, DagModel.dag_id == DagRun.dag_id)
        .where(
            DagRun.run_after.between(begin, end),
            DagRun.state.in_((DagRunState.QUEUED, DagRunState.RUNNING)),
            DagRun.run_type == DagRunType.SCHEDULED,
            DagModel.is_paused == false(),
            DagModel.is_stale == false(),
        )
        .order_by(DagRun.run_after, DagRun.dag_id)
    )
    return [DueRun(dag_id=row.dag_id, at=row.run_after.timestamp()) for row in session.execute(query)]
